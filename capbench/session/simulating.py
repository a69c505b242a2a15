"""What the models of collected tests would take on other machines. Nothing is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import replace

from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.costs import Costs, Speeds
from capbench.pipeline.plan import Plan
from capbench.pipeline.room import Room
from capbench.pipeline.simulation.further import with_further
from capbench.pipeline.simulation.graph import Graph
from capbench.pipeline.simulation.machines import Stacks
from capbench.pipeline.simulation.outcome import Outcome, outcome
from capbench.pipeline.simulation.words import lines
from capbench.session.options.simulated import Simulated
from capbench.session.run import CapbenchSession, Collected
from capbench.zoo import bundle

# Made one after the other: which models are needed next is known only when those before are made.
PARTS = ("needed in any case", "where a behaviour is lost", "variants of tasks")


def simulate(run: CapbenchSession, collected: Collected, *, say: Callable[[str], None]) -> list[str]:
    """Say what the missing models take on the machines of `--simulate`. Returns a line for each test whose models are not known.

    At most: every fine-tuned model loses its behaviour, and variants have all the time they need.
    """
    asked = run.options.simulated
    assert asked is not None
    found, wrong = supposed(run, collected, asked)
    say(json.dumps(found.as_json(), indent=1) if asked.as_json else "\n".join(lines(found)))
    return wrong


def supposed(run: CapbenchSession, collected: Collected, asked: Simulated) -> tuple[Outcome, list[str]]:
    """The models on these machines, and the lines of `simulate`."""
    graphs = _Graphs(run, asked)
    given, wrong = graphs.of(run, collected)
    names = list(run.options.methods)
    further = (asked.methods or len(names)) - len(names)
    like = [graphs.of(*_another(run, collected, name))[0] for name in names[:further]]
    shared = None
    if like:
        own = {key for each in like for part in PARTS for key in each[part].jobs}
        shared = len({job.key for part in PARTS for job in given[part].missing} & own)
        given = {part: with_further(given[part], [each[part] for each in like], further) for part in PARTS}
    found = outcome(given, asked.machines, asked.cluster, methods=len(names) + further, shared=shared)
    return found, wrong


class _Graphs:
    """Graphs of what tests need, with the costs that the run's cache knows."""

    def __init__(self, run: CapbenchSession, asked: Simulated) -> None:
        self._store, self._asked = run.models.store, asked
        self._bundled = frozenset[str]() if run.options.retrain else bundle.keys()
        self._speeds, self._room = Speeds(self._store), Room(self._store)

    def of(self, run: CapbenchSession, collected: Collected) -> tuple[dict[str, Graph], list[str]]:
        """What is needed in each part, and a line for each test whose models are not known."""
        always, more, wrong = run.models.in_two(collected.tests)
        plans = (Plan(always), Plan([*always, *more]), run.variants.plan(collected.on_variants))
        made: set[str] = set()
        found = {}
        for name, plan in zip(PARTS, plans, strict=True):
            found[name] = self._graph(plan, made)
            made |= plan.steps.keys()
        return found, wrong

    def _graph(self, plan: Plan, made: Container[str]) -> Graph:
        missing = [step for step in plan.in_order() if step.key not in made and not self._is_there(step.key)]
        machines, anew = self._asked.machines, self._asked.empty_cache
        stack = machines.most if isinstance(machines, Stacks) else 1
        return Graph.of(
            plan, Costs(plan, self._store, missing, stack=stack, anew=anew, speeds=self._speeds), self._room
        )

    def _is_there(self, key: str) -> bool:
        return key in self._bundled or (not self._asked.empty_cache and self._store.has(key))


def _another(run: CapbenchSession, collected: Collected, name: str) -> tuple[CapbenchSession, Collected]:
    """The run with another method like this one in its place, and the tests of that method."""
    ref = run.options.methods[name]
    if isinstance(ref, MethodRef):
        ref = replace(ref, digest=f"{ref.digest}, another")
    another = CapbenchSession(replace(run.options, methods={name: ref}))
    tests = [test for test in collected.tests if test[2] == name]
    on_variants = [test for test in collected.on_variants if test[2] == name]
    return another, Collected(tests=tests, on_variants=on_variants)
