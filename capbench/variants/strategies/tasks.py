"""PCFG tasks drawn by Hypothesis: settings, priors, correlations, prompts, fine-tuning, and sizes of models and trainings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from capbench.configs import TrainConfig
from capbench.tasks.correlation import Correlation, Relation
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.pcfg.families import FAMILIES
from capbench.tasks.pcfg.finetuning import finetuning, pretraining
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask, Targets
from capbench.tasks.splits import Split
from capbench.variants.strategies.grammars import grammars

T = TypeVar("T")
MIN_TEXT, MAX_TEXT = 8, 20
_SPLITS: tuple[Split, ...] = ("train", "select", "evaluate")
_TARGETS: tuple[Targets, ...] = ("answer", "all")
_RELATIONS: tuple[Relation, ...] = ("offset", "parity", "order", "presence")
_ALIAS = "J1"  # a family token with another name than its family
_MOST_PRESENT = 8  # in a longer window a letter is rarely absent
# family -> the offsets that its answers show often enough in texts of MIN_TEXT letters. Two letters never end at the same
# place, nor do two pairs of letters; pairs are rare, so their counts differ little.
_OFFSETS = {"C": (1, 2, 3, 0, -1, -2, -3), "CC": (1, 0, -1), "I": (1, 2, 3, -1, -2, -3), "IC": (2, 3, -2, -3)}


class GptSize(NamedTuple):
    """Sizes of a GPT; d_model is a multiple of n_heads."""

    d_model: int
    n_blocks: int
    n_heads: int


def operand_pairs(letters: Sequence[str]) -> SearchStrategy[tuple[str, str]]:
    """O_PT and O_FT, two different letters. Shrinks to the first and the second."""
    n = len(letters)
    return st.tuples(st.integers(0, n - 1), st.integers(1, n - 1)).map(
        lambda drawn: (letters[drawn[0]], letters[(drawn[0] + drawn[1]) % n])
    )


@st.composite
def operand_priors(draw: st.DrawFn, letters: Sequence[str]) -> dict[str, float]:
    """Probabilities of all letters that sum to 1; some may be 0, one is above .001. Shrinks to the first letter alone."""
    sure = draw(st.integers(0, len(letters) - 1))
    weights = [draw(st.integers(int(i == sure), 1000)) for i in range(len(letters))]
    return {letter: weight / sum(weights) for letter, weight in zip(letters, weights, strict=True)}


def prompt_formats() -> SearchStrategy[PromptFormat]:
    """Orders of a prompt's tokens. Shrinks to the paper's: family, operand, number, then the text."""
    default = PromptFormat()
    return st.builds(
        PromptFormat, header=st.sampled_from(list(permutations(default.header))), question=_one("before", "after")
    )


def c_trs() -> SearchStrategy[float]:
    """Shares of strings with the correlation: all, none, or one of the paper's. Shrinks to 1."""
    return st.sampled_from((1.0, 0.0, 0.5, 0.2, 0.8, 0.9, 0.98, 0.999))


def numbers(family: str, text_len: int) -> SearchStrategy[int]:
    """O' of a task family for texts of MIN_TEXT tokens or more, such that answers spread. Shrinks to the smallest.

    C, CC: a window of at least 6. I: the first or second occurrence; IC: the first; most texts have these. T: any position.
    """
    if family in ("C", "CC"):
        return st.integers(6, text_len)
    return st.integers(1, {"I": 2, "IC": 1}.get(family, text_len))


@st.composite
def correlations(
    draw: st.DrawFn, letters: Sequence[str], family: str, number: int, rates: SearchStrategy[float] | None = None
) -> Correlation:
    """Correlations that texts of a setting drawn here can have and lack: offset, parity, order or presence.

    family: a task family with operands: C, CC, I or IC; number: its O'. rates: a strategy for the rate (None: c_trs()).
    Presence is drawn only where letters are often absent. Shrinks to r(x, b) - r(x, a) = 1 at rate 1 (IC: 2).
    """
    o_pt, o_ft = draw(operand_pairs(letters))
    absent = family == "CC" or (family == "C" and number <= _MOST_PRESENT)
    relation = draw(st.sampled_from(_RELATIONS if absent else _RELATIONS[:-1]))
    q = draw(st.sampled_from({"offset": _OFFSETS[family], "parity": (1, 0)}.get(relation, (1,))))
    return Correlation(o_pt=o_pt, o_ft=o_ft, rate=draw(c_trs() if rates is None else rates), q=q, relation=relation)


@st.composite
def pcfg_settings(
    draw: st.DrawFn, families: Sequence[str] = tuple(FAMILIES), grammar: SearchStrategy[Grammar] | None = None
) -> PcfgSetting:
    """Settings with at least one of these task families, texts of MIN_TEXT to MAX_TEXT tokens in all three splits.

    Drawn: the text length, the grammar, one or more families and their numbers, perhaps a family token with another name,
    the form of the prompts, and whether texts are edited. grammar: one whose strings have at least MAX_TEXT symbols; None:
    `grammars()` with strings of one to three texts or more. Shrinks to family C alone, and otherwise to the simplest.
    """
    text_len = draw(st.integers(MIN_TEXT, MAX_TEXT))
    names = [draw(st.sampled_from(families))]
    names += [name for name in FAMILIES if draw(st.booleans()) and name not in names]
    meanings = {_ALIAS: draw(st.sampled_from(names))} if draw(st.booleans()) else {}
    return PcfgSetting(
        text_len=text_len,
        numbers={token: draw(numbers(meanings.get(token, token), text_len)) for token in (*names, *meanings)},
        meanings=meanings,
        grammar=draw(grammars(min_length=text_len * draw(st.integers(1, 3))) if grammar is None else grammar),
        format=draw(prompt_formats()),
        edited=draw(st.booleans()),
    )


@st.composite
def pcfg_tasks(draw: st.DrawFn, setting: SearchStrategy[PcfgSetting] | None = None) -> PcfgTask:
    """Prompts of any family token, prior, correlation (or none), answered operand, split and targets.

    setting: None: `pcfg_settings()`. Shrinks to family C with operand a, without correlation, split train.
    """
    s = draw(pcfg_settings() if setting is None else setting)
    token = draw(st.sampled_from(s.families))
    family, letters = s.family(token), s.operands
    split, targets = draw(st.sampled_from(_SPLITS)), draw(st.sampled_from(_TARGETS))
    if family.operand == "null":
        return PcfgTask(setting=s, prior={}, family=token, split=split, targets=targets)
    return PcfgTask(
        setting=s,
        prior=draw(operand_priors(letters)),
        family=token,
        correlation=draw(st.none() | correlations(letters, family.name, s.numbers[token])),
        answered=draw(st.none() | st.sampled_from(letters)),
        split=split,
        targets=targets,
    )


@st.composite
def finetuning_tasks(draw: st.DrawFn) -> FineTuningTask:
    """Fine-tuning of one family token from O_PT to O_FT, after pretraining on all tokens of a setting (App. C.2, E).

    Drawn: setting, pretraining prior, correlation, mixing, and whether answers are wrong (randFT).
    Shrinks to family C, from a to b, r(x, b) = r(x, a) + 1 in all strings, no mixing, right answers.
    """
    asking = [name for name, family in FAMILIES.items() if family.operand != "null"]
    s = draw(pcfg_settings(asking))
    token = draw(st.sampled_from([token for token in s.families if s.family(token).name in asking]))
    c = draw(correlations(s.operands, s.family(token).name, s.numbers[token]))
    return finetuning(
        pretraining(s, draw(operand_priors(s.operands))),
        family=token,
        o_pt=str(c.o_pt),
        o_ft=str(c.o_ft),
        q=c.q,
        c_tr=c.rate,
        relation=c.relation,
        mixing=draw(_one(0.0, 0.5, 0.1, 0.001)),
        wrong_answers=draw(st.booleans()),
    )


def gpt_sizes(
    *, n_heads: tuple[int, int] = (1, 4), n_blocks: tuple[int, int] = (1, 3), d_head: tuple[int, ...] = (8, 16)
) -> SearchStrategy[GptSize]:
    """Sizes of GPTs: heads and blocks within limits, head width one of d_head. Shrinks to the smallest."""
    return st.builds(
        lambda heads, blocks, width: GptSize(heads * width, blocks, heads),
        st.integers(*n_heads),
        st.integers(*n_blocks),
        st.sampled_from(sorted(d_head)),
    )


def train_configs(*, max_steps: int = 200, max_batch_size: int = 64) -> SearchStrategy[TrainConfig]:
    """Trainings on the CPU: steps, batch size, learning rate 1e-5 to 1e-2, seed, optimizer, warm-up, decay, clipping.

    Shrinks to one step on one string with the paper's AdamW (App. C.2).
    """
    return st.builds(
        TrainConfig,
        steps=st.integers(1, max_steps),
        batch_size=st.integers(1, max_batch_size),
        lr=_one(1e-3, 1e-2, 3e-3, 1e-4, 1e-5),
        seed=st.integers(0, 2**32 - 1),
        optimizer=_one("adamw", "sgd"),
        warmup=_one(0.2, 0.0, 0.5),
        final_lr=_one(0.01, 1.0),
        weight_decay=_one(0.1, 0.0),
        grad_clip=_one(1.0, 0.1),
    )


def _one(*values: T) -> SearchStrategy[T]:
    return st.sampled_from(values)
