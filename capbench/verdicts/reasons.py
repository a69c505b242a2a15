"""Why a capability has its state: on one seed, and over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from capbench.results import CapabilityState
from capbench.verdicts.counting import seeds_in_words, tally


@dataclass(frozen=True, kw_only=True)
class SeedState:
    """The state on one seed, and why.

    sentence: the reason. says: the tools that it rests on, and what they say; form: how these follow the sentence. detail: what
    is to be added, as why a tool has no value.
    """

    state: CapabilityState
    sentence: str
    says: Mapping[str, str] = field(default_factory=dict)
    form: str = " ({})"
    detail: str = ""


def reason(by_seed: Mapping[int, SeedState], over_seeds: Mapping[str, str]) -> str:
    """Why the seeds come to what they do. over_seeds: what the tools say over all of them.

    The seeds' own reason, if they all have the same state for the same reason. Otherwise how many have which state, and why
    some are undecided.
    """
    groups: dict[tuple[CapabilityState, str], list[int]] = {}
    for seed, found in by_seed.items():
        groups.setdefault((found.state, found.sentence), []).append(seed)
    if len(groups) == 1:
        return _text(by_seed, list(by_seed), over_seeds)
    undecided = [seeds for (state, _), seeds in groups.items() if state is CapabilityState.UNDECIDED]
    texts = [_text(by_seed, seeds, by_seed[seeds[0]].says if len(seeds) == 1 else {}) for seeds in undecided]
    count = tally([found.state for found in by_seed.values()])
    if len(texts) == 1:
        return f"{count}: {texts[0]}"
    named = [f"{seeds_in_words(seeds)}: {text}" for seeds, text in zip(undecided, texts, strict=True)]
    return "; ".join([count, *named])


def _text(by_seed: Mapping[int, SeedState], seeds: Sequence[int], says: Mapping[str, str]) -> str:
    """The sentence that these seeds share, what the tools say, and the details, by seed where they differ."""
    first = by_seed[seeds[0]]
    listed = ", ".join(f"{tool} {said}" for tool, said in says.items())
    shown = first.form.format(listed) if first.says and says else ""
    details = {seed: by_seed[seed].detail for seed in seeds if by_seed[seed].detail}
    if len(details) == len(seeds) and len(set(details.values())) == 1:
        return f"{first.sentence}{shown}; {details[seeds[0]]}"
    return "; ".join([f"{first.sentence}{shown}", *(f"seed {seed}: {detail}" for seed, detail in details.items())])
