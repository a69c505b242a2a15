"""The checks of a capability, alone and on a model: what the file says, what the tokenizer makes of it, what the model can."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from capbench.check.candidate import PRETRAINED, candidate
from capbench.check.findings import Finding
from capbench.errors import NoAnswerError, UsageError
from capbench.store.sizes import shown
from capbench.studies.language import checker
from capbench.tasks.language.capability import SPLITS, Capability, Item
from capbench.tasks.language.chance import chance
from capbench.tasks.language.leaks import leaks
from capbench.tasks.language.named import capability
from capbench.tasks.language.streams import Prompts
from capbench.tasks.language.tokenising import Tokeniser
from capbench.tasks.splits import Split

MOST = 200  # items that the model is asked
BATCH = 16  # prompts of a training step
# Of passes: a forward and a backward one; both of the prompts and of the text that is kept, and a forward one of the base.
STEP, IMPLANT_STEP = 3, 7
IMPLANT_STEPS, RELEARN_STEPS = 70, 96


def check_capability(spec: str, model: str | None = None) -> Iterator[Finding]:
    """Check a capability file, or a generated capability by name; on a model, hf:PATH, if one is named.

    Findings come as they are made. Raises UsageError, one line, for a file that cannot be read, an item that the tokenizer or the
    model cannot take, and a model that cannot be loaded.
    """
    of = capability(spec)
    yield _finding("file", True, _described(of))
    yield _leaks(of)
    if model is None:
        return
    if not model.startswith(PRETRAINED):
        raise UsageError(f"--model={model}: must be hf:PATH, as a capability needs a tokenizer")
    from capbench.pipeline.process_state import unharmed

    with unharmed():
        import torch

        torch.set_num_threads(1)  # as everywhere in capbench: results do not depend on the machine's cores
        with candidate(model) as given:
            assert given.tokenizer is not None
            tokeniser = Tokeniser(given.tokenizer(), vocab_size=given.config.vocab_size, seq_len=given.config.seq_len)
            asked = _Asked.of(of, tokeniser)
            yield _tokens(of, asked, given.config.seq_len)
            zero = chance(of, asked.prompts["train"], asked.prompts["evaluate"])
            yield _finding("chance", True, f"{zero:.3f}")
            from capbench.models.huggingface import memory

            there = memory.available()
            trained = (given.memory or 0) // memory.WEIGHT * memory.TRAINED
            words = f"{shown(given.memory or 0)} for the weights, {shown(trained)} while all are trained"
            yield _finding("memory", (given.memory or 0) <= there, f"{words}; {shown(there)} is available")
            yield from _on_model(of, asked, given.load(), tokeniser, zero)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """All items as tokens, so that each is checked, and those to evaluate that the model is asked."""

    prompts: Mapping[Split, Prompts]
    items: list[Item]
    few: Prompts

    @classmethod
    def of(cls, of: Capability, tokeniser: Tokeniser) -> _Asked:
        prompts = {split: tokeniser.prompts(of, of.items[split]) for split in SPLITS}
        tokeniser.others(of)
        evaluate = of.items["evaluate"]
        rows = list(range(len(evaluate)))
        if len(rows) > MOST:
            rows = sorted(random.Random(0).sample(rows, MOST))
        return cls(prompts=prompts, items=[evaluate[i] for i in rows], few=prompts["evaluate"].part(rows))


def _described(of: Capability) -> str:
    counts = ", ".join(f"{len(of.items[split])} to {split}" for split in SPLITS)
    groups = len({item.group for item in of})
    kept = [f"{len(of.retain)} texts" if of.retain else "", f"{len(of.others)} prompts" if of.others else ""]
    return f"{of.name}: {of.kind}, metric {of.metric}; {counts}; {groups} groups; to keep: {' and '.join(filter(None, kept))}"


def _leaks(of: Capability) -> Finding:
    found, n = leaks(of), len(of.items["evaluate"])
    if not found:
        return _finding(
            "leaks", True, f"none of {n} items to evaluate is told by another split or by the texts to keep"
        )
    parts = [
        f"{found.same} have a prompt of another split but for case, spaces and punctuation" if found.same else "",
        f"{found.shared} share eight words in a row with an item to train on or to select by" if found.shared else "",
        f"{found.told} are told by a text to keep, which has the answer and all that the prompt is about"
        if found.told
        else "",
    ]
    words = f"of {n} items to evaluate {'; '.join(filter(None, parts))}"
    return _finding("leaks", not found.same, words, note=True)


def _tokens(of: Capability, asked: _Asked, seq_len: int) -> Finding:
    strings = [string for prompts in asked.prompts.values() for string in prompts.strings]
    lengths = sorted(len(string.tokens) for string in strings)
    words = f"prompts of {lengths[0]} to {lengths[-1]} tokens, median {statistics.median(lengths):g}; the model reads {seq_len}"
    if strings[0].choices:
        counts = sorted({len(string.choices) for string in strings})
        words += f"; {' or '.join(map(str, counts))} choices, told apart by one token"
    elif of.is_checked:
        words += f"; {of.tokens} tokens are written for the checker"
    else:
        most = max(len(string.answer) for string in strings)
        words += f"; answers of at most {most} tokens"
    return _finding("tokens", True, words)


def _on_model(of: Capability, asked: _Asked, model: Any, tokeniser: Tokeniser, zero: float) -> Iterator[Finding]:
    from capbench.measure.language import answers
    from capbench.measure.language.scale import Score

    n = len(asked.few)
    started = time.perf_counter()
    try:
        if of.is_checked:
            check = checker.judged(of.metric, checker.find(of.metric), asked.items)
            right = answers.checked(model, asked.few, of.tokens, text=tokeniser.text, check=check)
        else:
            right = answers.right(model, asked.few).double().tolist()
    except NoAnswerError as error:
        yield _finding("base", False, f"it does not answer: {error}")
        return
    score = Score.of(right, [item.group for item in asked.items])
    low, high = score.interval
    of_groups = f" of {score.groups} groups" if score.groups else ""
    words = f"accuracy {sum(right) / n:.3f} [{low:.3f}, {high:.3f}] on {n} items{of_groups} to evaluate"
    if score.can(zero):
        yield _finding("base", True, f"{words}: it has the capability, so the natural suite can ask what became of it")
    elif score.cannot(zero):
        yield _finding("base", True, f"{words}: it does not have the capability; it can be implanted", note=True)
    else:
        yield _finding("base", True, f"{words}: too near to chance to tell; more items would", note=True)
    seconds = (time.perf_counter() - started) / n * BATCH / (of.tokens if of.is_checked else 1)
    minutes = [
        steps * passes * seconds / 60 for steps, passes in ((IMPLANT_STEPS, IMPLANT_STEP), (RELEARN_STEPS, STEP))
    ]
    yield _finding(
        "cost",
        True,
        f"a pass of {BATCH} prompts takes {seconds:.2g} s on one core; so about {minutes[0]:.2g} min to implant a skill in "
        f"{IMPLANT_STEPS} steps and {minutes[1]:.2g} min to relearn for {RELEARN_STEPS} (estimates: a step as {STEP} passes)",
    )


def _finding(check: str, ok: bool, message: str, *, note: bool = False) -> Finding:
    return Finding(check=check, ok=ok, message=message, note=note)
