"""What a run says of each method, in a few sentences: what it did, how sure that is, what else broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from capbench.report.words import line, number
from capbench.results import Capability, CapabilityState, FinetunedState, Results

CAPABILITY = "the old capability"
# What was done, said for the first time, and again.
_DID = {
    CapabilityState.INTACT: (f"left {CAPABILITY} intact", "left it intact"),
    CapabilityState.WRAPPED: (f"hid {CAPABILITY} (wrapped)", "hid it (wrapped)"),
    CapabilityState.DELETED: (f"deleted {CAPABILITY}", "deleted it"),
    CapabilityState.DESTROYED: ("destroyed the model", "destroyed the model"),
}
_LEARNED = {
    None: "not judged",
    FinetunedState.SHORTCUT: "solved through the shortcut",
    FinetunedState.AMPLIFIED: "solved as before",  # the paper's word would claim that a method which does nothing amplified it
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """did, sure, broke, task: a sentence each. states: how many models are in each, undecided last."""

    method: str
    did: str
    sure: str
    broke: str
    task: str
    states: tuple[tuple[CapabilityState, int], ...]


def answers(results: Results) -> list[Answer]:
    """One per method whose models were judged, in order of appearance."""
    methods = dict.fromkeys(found.method for found in results.capabilities)
    return [_answer(name, [c for c in results.capabilities if c.method == name]) for name in methods]


def _answer(method: str, found: Sequence[Capability]) -> Answer:
    counts = Counter(each.verdict for each in found)
    undecided = counts.pop(CapabilityState.UNDECIDED, 0)
    states = counts.most_common() + ([(CapabilityState.UNDECIDED, undecided)] if undecided else [])
    return Answer(
        method=line(method),
        did=_did(line(method) or "the method", states, len(found)),
        sure=_sure(found),
        broke=_broke(found),
        task=_task(found),
        states=tuple(states),
    )


def _did(method: str, states: Sequence[tuple[CapabilityState, int]], models: int) -> str:
    """As in `full hid the old capability (wrapped) in 4 of 9 models and left it intact in 3; 2 are undecided.`"""
    decided = [(state, n) for state, n in states if state is not CapabilityState.UNDECIDED]
    if not decided:
        return f"What {method} did to {CAPABILITY} is undecided{_in_all(models)}."
    (state, most), *others = decided
    said = f"{method} {_DID[state][0]}" + (_in_all(models) if most == models else f" in {most} of {models} models")
    rest = [f"{_DID[state][1]} in {n}" for state, n in others]
    said = ", ".join([said, *rest[:-1]]) + (f" and {rest[-1]}" if rest else "")
    undecided = models - sum(n for _, n in decided)
    return said + (f"; {undecided} {'is' if undecided == 1 else 'are'} undecided." if undecided else ".")


def _sure(found: Sequence[Capability]) -> str:
    """How many seeds there are, whether they agree, and which tools were never tested on models of known state."""
    seeds = sorted({len(each.per_seed) or 1 for each in found})
    many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = [f"{many} {'seed' if seeds == [1] else 'seeds'} each"]
    decided = [each for each in found if each.verdict is not CapabilityState.UNDECIDED]
    if any(each.provisional for each in found) or seeds == [1]:
        words = ["one seed, so provisional" if seeds == [1] else f"{words[0]}; those from one seed are provisional"]
    elif decided:
        agree = sum(set(each.per_seed.values()) == {each.verdict} for each in decided)
        which = "the decided model" if len(decided) == 1 else f"{agree} of {len(decided)} decided models"
        same = "all seeds agree in" if agree or len(decided) > 1 else "the seeds differ in"
        words.append(f"{same} {which}")
    tools = sorted({line(tool) for each in found for tool in each.uncalibrated})
    said = "; ".join(words) + "."
    if tools:
        said += f" Uncalibrated: {', '.join(tools)} ({'was' if len(tools) == 1 else 'were'} not tested on models of known state)."
    return said[0].upper() + said[1:]


def _broke(found: Sequence[Capability]) -> str:
    """What became of the other families and operands, and the worst of them."""
    measured = [each.collateral for each in found if each.collateral is not None]
    if not measured:
        return "Not measured."
    said = f"Other abilities: {_shares(str(each.state) for each in measured)}"
    known = [each for each in measured if each.value is not None]
    if known:
        worst = min(known, key=lambda each: each.value or 0.0)
        said += f"; the worst, {line(worst.worst)}, keeps {number(worst.value)} of the base model's accuracy"
    missing = len(found) - len(measured)
    return said + (f"; not measured in {missing}." if missing else ".")


def _task(found: Sequence[Capability]) -> str:
    """What became of the fine-tuned task."""
    if all(each.finetuned is None for each in found):
        return "The new task is not judged."
    return f"The new task is {_shares(_LEARNED.get(c.finetuned, str(c.finetuned)) for c in found)}."


def _shares(states: Iterable[str]) -> str:
    """As in `lost in 6 of 9 models, kept in 3`; of a single model only the state."""
    counts: Mapping[str, int] = Counter(states)
    models = sum(counts.values())
    (top, most), *rest = sorted(counts.items(), key=lambda item: -item[1])
    if most == models:
        return f"{top}{_in_all(models)}"
    return ", ".join([f"{top} in {most} of {models} models", *(f"{name} in {n}" for name, n in rest)])


def _in_all(models: int) -> str:
    return "" if models == 1 else " in both models" if models == 2 else f" in all {models} models"
