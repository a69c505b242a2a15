"""A finished pair of models, from their files to the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from capbench.measure.attacks.effort import Effort
from capbench.measure.attacks.ground import Ground, Scorer, by_metric
from capbench.measure.attacks.named import NAMES, known
from capbench.measure.language.answers import checked
from capbench.models.base import Model
from capbench.pipeline.process_state import unharmed
from capbench.studies.language import checker, natural_cost
from capbench.studies.language.natural import Found, Say, judged, requirement
from capbench.studies.language.pair import loaded, opened
from capbench.tasks.language.capability import Capability, Item
from capbench.tasks.language.named import capability
from capbench.tasks.language.streams import Prompts
from capbench.tasks.language.tokenising import Tokeniser


def judge_pair(
    before: str,
    after: str,
    spec: str,
    *,
    names: Sequence[str] = NAMES,
    effort: Effort | None = None,
    device: str = "cpu",
    say: Say = lambda _: None,
) -> Found:
    """What became of a capability between two models, each a folder, a .gguf file or, after, the folder of a PEFT adapter.

    spec: a capability file or name. names: of the attacks. say: is told the cost, and every attack when it begins. Raises
    UsageError, one line, for what cannot be read or judged.
    """
    known(names)
    of = capability(spec)
    with unharmed():
        import torch

        torch.set_num_threads(1)  # as everywhere in capbench: results do not depend on the machine's cores
        with opened(before) as (found, tokeniser):
            ground = Ground.made(of, tokeniser, effort=effort, scorer=scorer(of, tokeniser))
            pair = loaded(found, after, of, tokeniser)
        base, tuned = (each.to(device).eval() for each in (pair.before, pair.after))
        say(_plan(base, ground, names))
        return judged(base, tuned, ground, names=names, say=say)


def scorer(of: Capability, tokeniser: Tokeniser) -> Scorer:
    """How the answers of a capability are scored. Raises UsageError for a checker that cannot be imported."""
    if not of.is_checked:
        return by_metric
    function = checker.find(of.metric)

    def score(model: Model, prompts: Prompts, items: Sequence[Item]) -> Sequence[float]:
        check = checker.judged(of.metric, function, items)
        return checked(model, prompts, of.tokens, text=tokeniser.text, check=check)

    return score


def _plan(base: Model, ground: Ground, names: Sequence[str]) -> str:
    """What is asked, and what it costs; nothing is said of attacks on a model that cannot do the task."""
    asked = f"{ground.of.name}: {len(ground.items['evaluate'])} items to evaluate, {len(ground.items['select'])} to choose by"
    if requirement(ground.score(base, "evaluate"), ground.chance):
        return asked
    cost = natural_cost.words(*natural_cost.seconds(base, ground, names))
    return f"{asked}; {cost} if attacks are needed, less if the capability is intact"
