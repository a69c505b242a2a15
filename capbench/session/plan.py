"""Show or make the models of collected tests, without running a test."""

from __future__ import annotations

from collections.abc import Callable

from capbench.pipeline.outline import outline, total
from capbench.pipeline.plan import Plan
from capbench.session.run import CapbenchSession, Collected
from capbench.zoo import bundle

_NO_MODELS = "capbench: none of the collected tests needs a model"


def plan(run: CapbenchSession, collected: Collected, *, say: Callable[[str], None]) -> list[str]:
    """Show which models the tests need and what they cost. Returns a line for each test whose models cannot be determined."""
    always, more, wrong = run.models.in_two(collected.tests)
    least = Plan([*always, *run.variants.steps(collected.on_variants, if_lost=False)])
    needed = Plan([*least.steps.values(), *more, *run.variants.steps(collected.on_variants, if_lost=True)])
    if not needed.steps:
        say(_NO_MODELS)
        return wrong
    bundled = frozenset[str]() if run.options.retrain else bundle.keys()
    at_once = run.options.at_once
    say(outline(needed, run.models.store, jobs=at_once.jobs, stack=at_once.stack, bundled=bundled))
    parts: list[tuple[str, Plan]] = []
    if least.steps.keys() != needed.steps.keys():
        parts.append(("of these, if every fine-tuned model keeps its behaviour", least))
    if run.options.auto:
        further, _ = run.models.steps(collected.tests, run.studies.most, if_lost=True)
        parts.append((f"seeds=auto, {len(run.studies.seeds)} seeds first", needed))
        most = Plan([*further, *needed.steps.values()])
        parts.append((f"at most, if every claim takes {len(run.studies.most)} seeds", most))
    for words, part in parts:
        cost = total(part, run.models.store, jobs=at_once.jobs, stack=at_once.stack, bundled=bundled)
        say(f"{words}: {cost}")
    return wrong


def train(run: CapbenchSession, collected: Collected, *, say: Callable[[str], None]) -> list[str]:
    """Make the models that the tests need. Returns one line for each failure."""
    run.open_loggers()
    steps, wrong = run.models.steps(collected.tests)
    if not steps and not collected.on_variants and not wrong:
        say(_NO_MODELS)
    run.prepare(collected, say=say)
    if run.options.auto:
        say(
            f"capbench: seeds=auto: these are the models of the first {len(run.studies.seeds)} seeds; a run of the tests makes "
            "those of further seeds, for claims that are still undecided"
        )
    why = list(dict.fromkeys([*wrong, *run.models.errors.values()]))
    if unmade := run.variants.unmade(collected.on_variants):
        why.append(
            f"the time for variants was not enough: {len(unmade)} of their models are not made; run the command again to "
            f"continue, or give more time with {run.options.variants_minutes}"
        )
    return why
