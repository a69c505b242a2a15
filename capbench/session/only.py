"""In place of the tests: the plan of their models is printed, or they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from capbench.pipeline.plan import Plan
from capbench.session.models import Models, Tests
from capbench.session.variants import Variants
from capbench.zoo import bundle

if TYPE_CHECKING:
    from capbench.session.variants import OnVariants

_NO_MODELS = "capbench: no test that was collected needs a model"


def only(
    models: Models, variants: Variants, tests: Tests, on_variants: OnVariants, *, say: Callable[[str], None]
) -> list[str]:
    """Print the plan of the tests' models, or make them. Why models cannot be, or were not, made."""
    tests, on_variants = list(tests), list(on_variants)
    steps, wrong = models.steps(tests)
    if models.options.only == "plan":
        from capbench.pipeline.outline import outline

        plan = Plan([*steps, *variants.steps(on_variants)])
        bundled = frozenset[str]() if models.options.retrain else bundle.keys()
        o = models.options
        say(
            outline(plan, models.store, jobs=o.at_once.jobs, stack=o.at_once.stack, bundled=bundled)
            if plan.steps
            else _NO_MODELS
        )
        return wrong
    if not steps and not on_variants and not wrong:
        say(_NO_MODELS)
    models.prepare(tests, say=say)
    variants.prepare(on_variants, say=say)
    why = [*wrong, *dict.fromkeys(models.errors.values())]
    if unmade := variants.unmade(on_variants):
        why.append(
            f"the time for variants was not enough: {len(unmade)} of their models are not made; the same command goes on, "
            "or give --capbench-variants-minutes (capbench train: --variants-minutes)"
        )
    return why
