"""A variant: one task, protocol and model size that a claim may be tried on, with a name and words for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from capbench.pipeline.steps import describe
from capbench.studies.pcfg.own import TaskSpec
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, WIDE_GRAMMAR, Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A specification: plain data, no model. prior: share of O_FT in pretraining, the rest is O_PT.

    c_tr: share of the fine-tuning strings that carry the spurious correlation. lr: a fine-tuning rate by the paper's names.
    """

    task: TaskSpec
    prior: float = 0.001
    c_tr: float = 1.0
    lr: str = "medium"

    @property
    def id(self) -> str:
        """Eight characters that stand for all of it."""
        text = json.dumps(describe(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def case(self) -> Mapping[str, Any]:
        """The parameters of a test on it."""
        return {"prior": self.prior, "c_tr": self.c_tr, "lr": self.lr}

    @property
    def words(self) -> str:
        """What sets it apart from the simplest one, as in `o_ft=c, window 8`; 'the simplest' if nothing does."""
        return ", ".join(_differences(self, SIMPLEST)) or "the simplest"


SIMPLEST = Variant(
    task=TaskSpec(
        setting=PcfgSetting(text_len=16, numbers={"C": 12}, grammar=WIDE_GRAMMAR),
        d_model=48,
        n_blocks=2,
        n_heads=3,
        pretrain_steps=1000,
    )
)


def _differences(found: Variant, simplest: Variant) -> Iterator[str]:
    a, b = found.task, simplest.task
    if a.family != b.family:
        yield f"family {a.family}"
    number, usual = a.setting.numbers[a.family], b.setting.numbers.get(a.family)
    if number != usual:
        yield f"k = {number}" if a.setting.family(a.family).may_fail else f"window {number}"
    for name in ("o_pt", "o_ft", "relation", "q", "d_model", "n_blocks"):
        if getattr(a, name) != getattr(b, name):
            yield f"{name}={getattr(a, name)}"
    for name in ("prior", "c_tr", "lr"):
        if (value := getattr(found, name)) != getattr(simplest, name):
            yield f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
    if a.setting.text_len != b.setting.text_len:
        yield f"texts of {a.setting.text_len}"
    others = [token for token in a.setting.families if token != a.family]
    if others or a.setting.meanings:
        yield f"beside {', '.join(others)}" if others else f"which is {a.setting.family(a.family).name}"
    if a.setting.edited:
        yield "edited texts"
    if a.setting.format != b.setting.format:
        yield _prompt(a.setting.format)
    if a.setting.grammar != b.setting.grammar:
        yield f"grammar {rules_in_words(a.setting.grammar)}"


def _prompt(found: PromptFormat) -> str:
    return f"prompt {' '.join(found.header)} {found.question} the text"


def rules_in_words(grammar: Grammar) -> str:
    """A grammar on one line, as in `s -> a b .5 | c .5; …`."""
    if grammar == PAPER_GRAMMAR:
        return "of the paper"
    lines = []
    for parent, alternatives in grammar.rules.items():
        right = " | ".join(f"{_runs(symbols)} {p:.3g}" for symbols, p in alternatives)
        lines.append(f"{parent} -> {right}")
    limit = f", at most {grammar.max_length} letters" if grammar.max_length else ""
    return f"({'; '.join(lines)}{limit})"


def _runs(symbols: tuple[str, ...]) -> str:
    """Symbols in words, as in `a b X1*16`."""
    lengths = [(symbol, len(list(run))) for symbol, run in groupby(symbols)]
    return " ".join(f"{symbol}*{n}" if n > 2 else " ".join([symbol] * n) for symbol, n in lengths)
