"""A plan as a table: which models are made from which, how many exist, and what the rest will cost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from capbench.pipeline.costs import Costs, duration
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.store.store import Store

_WIDTH = 64  # of a label
_SEED = re.compile(r" seed \d+")
_HEAD = ("", "kind", "what", "from", "count", "there", "steps left", "time")
_ALIGN = ("right", "left", "left", "left", "right", "right", "right", "right")


def outline(plan: Plan, store: Store, *, jobs: int, stack: int = 1, bundled: frozenset[str] = frozenset()) -> str:
    """The table, one line per kind of step and subject (over seeds), in the order in which they begin; then totals.

    from: the lines of its parents. time: of one core, at the speed of the models in the store; '-' if unknown.
    stack: the most models trained in one pass; each takes its share of a pass's time.
    bundled: keys of models that come with the package; they are not made.
    """
    from tabulate import tabulate

    absent = [step for step in plan.in_order() if not store.has(step.key)]
    costs = Costs(plan, store, [step for step in absent if step.key not in bundled], stack=stack)
    groups = _groups(plan)
    number = {step.key: i for i, (_, steps) in enumerate(groups, start=1) for step in steps}
    rows = []
    for (kind, what), steps in groups:
        missing = [step for step in steps if step.key in costs.kept]
        before = sorted({number[parent.key] for step in steps for parent in step.parents})
        left = sum(step.cost - costs.kept[step.key] for step in missing)
        rows.append(
            (
                number[steps[0].key],
                kind,
                short(what),
                _few(before),
                len(steps),
                len(steps) - len(missing),
                left or "",
                _time(missing, costs),
            )
        )
    table = tabulate(rows, headers=_HEAD, tablefmt="simple", colalign=_ALIGN, disable_numparse=True)
    return "\n".join([table, "", *_totals(plan, costs, jobs, stack, len(absent))])


def total(plan: Plan, store: Store, *, jobs: int, stack: int = 1, bundled: frozenset[str] = frozenset()) -> str:
    """The cost of a plan in one line, under the conditions of `outline`."""
    missing = [step for step in plan.in_order() if not (store.has(step.key) or step.key in bundled)]
    costs = Costs(plan, store, missing, stack=stack)
    time = (costs.about(jobs) or "time unknown") if costs.steps else "no training"
    return f"{len(missing)} of {len(plan.steps)} models to make, {costs.steps} training steps, {time}"


def _groups(plan: Plan) -> list[tuple[tuple[str, str], list[Step]]]:
    found: dict[tuple[str, str], list[Step]] = {}
    for step in plan.in_order():
        what = _SEED.sub("", step.label).removeprefix(f"{type(step).__name__.lower()} ").removeprefix("fine-tune ")
        found.setdefault((_kind(step), what), []).append(step)
    return list(found.items())


def _kind(step: Step) -> str:
    name = type(step).__name__.lower()
    return "fine-tune" if name == "finetune" else name


def short(text: str) -> str:
    """A step's label, shortened in the middle: both ends distinguish steps."""
    if len(text) <= _WIDTH:
        return text
    half = (_WIDTH - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _few(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers[:3])) + (",…" if len(numbers) > 3 else "")


def _time(missing: Sequence[Step], costs: Costs) -> str:
    if not missing:
        return ""
    known = [time for step in missing if (time := costs.seconds[step.key]) is not None]
    if len(known) == len(missing):
        return duration(sum(known))
    return "-" if any(step.cost for step in missing) else ""


def _totals(plan: Plan, costs: Costs, jobs: int, stack: int, absent: int) -> list[str]:
    there, taken = len(plan.steps) - absent, absent - len(costs.missing)
    package = f", {taken} in the package" if taken else ""
    made = f"{len(costs.missing)} to make ({costs.steps} training steps)"
    lines = [f"{len(plan.steps)} models, {there} in the cache{package}, {made}"]
    if kept := sum(costs.kept.values()):
        lines.append(f"{kept} more training steps are kept from an interrupted run")
    if costs.missing:
        chain = " -> ".join(short(step.label) for step in costs.chain if step.cost)
        lines.append(f"longest chain: {chain} ({sum(s.cost - costs.kept[s.key] for s in costs.chain)} steps)")
    if about := costs.about(jobs):
        unknown = f"; the time of {len(costs.unknown)} models is unknown" if costs.unknown else ""
        with_cores = f"with {jobs} core{'s' * (jobs > 1)} ({duration(costs.total)} of one core)"
        lines.append(f"time: {about} {f'with up to {stack} models in one pass' if stack > 1 else with_cores}{unknown}")
    elif costs.steps:
        lines.append("time: unknown, as the cache has no similar models")
    return lines
