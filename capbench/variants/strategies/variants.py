"""Variants drawn by Hypothesis: a task, a protocol and a model size, small enough to train a model in a minute."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.variant import SIMPLEST, Variant
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.variants.strategies.grammars import grammars
from capbench.variants.strategies.tasks import operand_pairs, prompt_formats

# family -> O', and offsets that occur often enough in texts of this length; the simplest first
_NUMBERS = {"C": (12, 8, 10, 14, 16), "I": (2, 3)}
_OFFSETS = {"C": (1, 2, -1), "I": (1, 2, -1, -2)}
_SIZES = ((48, 2, 3), (64, 2, 4), (32, 3, 2))  # d_model, n_blocks, n_heads
_STEPS = {"C": 1000, "I": 1200}  # of pretraining


def weak_relevance() -> SearchStrategy[Variant]:
    """Variants where pretraining hardly teaches O_FT and every fine-tuning string carries an offset (Fig. 5, 7).

    Drawn: the family (C or I; the answers to CC and IC vary too little in texts this short), its O', the operands, the offset q,
    O_FT's prior, the fine-tuning rate (medium or small), the grammar, the length of texts, the prompt's form, the size of the
    model. Shrinks to `studies.pcfg.variant.SIMPLEST`, the paper's Counter from a to b at a small size.
    """
    return variants(
        c_tr=st.just(1.0), prior=st.sampled_from((0.001, 0.0, 0.01)), lr=st.sampled_from(("medium", "small"))
    )


def some_without_correlation() -> SearchStrategy[Variant]:
    """As `weak_relevance`, where one fine-tuning string in five carries no offset, at the small rate (Fig. 5, 6, Table 5)."""
    return variants(c_tr=st.just(0.8), prior=st.sampled_from((0.001, 0.0, 0.01)), lr=st.just("small"))


@st.composite
def variants(
    draw: st.DrawFn,
    *,
    c_tr: SearchStrategy[float] | None = None,
    prior: SearchStrategy[float] | None = None,
    lr: SearchStrategy[str] | None = None,
) -> Variant:
    """Variants of the Counter and the Indexer; c_tr, prior, lr: of the protocol (None: anything from the paper)."""
    simple = SIMPLEST.task
    family = draw(st.sampled_from(("C", "I")))
    number = draw(st.sampled_from(_NUMBERS[family]))
    text_len = max(number if family != "I" else 0, draw(st.sampled_from((16, 12, 14, 18, 20))))
    grammar = draw(st.just(simple.setting.grammar) | grammars(max_depth=3, min_length=text_len))
    letters = grammar.terminals
    o_pt, o_ft = draw(operand_pairs(letters))
    d_model, n_blocks, n_heads = draw(st.sampled_from(_SIZES))
    return Variant(
        task=TaskSpec(
            setting=PcfgSetting(
                text_len=text_len, numbers={family: number}, grammar=grammar, format=draw(prompt_formats())
            ),
            family=family,
            o_pt=o_pt,
            o_ft=o_ft,
            q=draw(st.sampled_from(_OFFSETS[family])),
            d_model=d_model,
            n_heads=n_heads,
            n_blocks=n_blocks,
            pretrain_steps=_STEPS[family],
        ),
        prior=draw(st.sampled_from((0.001, 0.0, 0.01, 0.1, 0.3)) if prior is None else prior),
        c_tr=draw(st.sampled_from((1.0, 0.0, 0.5, 0.8)) if c_tr is None else c_tr),
        lr=draw(st.sampled_from(("medium", "large", "small")) if lr is None else lr),
    )
