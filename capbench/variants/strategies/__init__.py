"""Task variants for Hypothesis: strategies that draw specifications, plain frozen data, valid by construction.

All shrink towards the paper's simplest setting.
"""

from __future__ import annotations

from capbench.variants.strategies.conditions import conditions
from capbench.variants.strategies.grammars import grammars
from capbench.variants.strategies.programs import rasp_programs
from capbench.variants.strategies.tasks import (
    GptSize,
    c_trs,
    correlations,
    finetuning_tasks,
    gpt_sizes,
    numbers,
    operand_pairs,
    operand_priors,
    pcfg_settings,
    pcfg_tasks,
    prompt_formats,
    train_configs,
)
from capbench.variants.strategies.variants import variants, weak_relevance

__all__ = [
    "GptSize",
    "c_trs",
    "conditions",
    "correlations",
    "finetuning_tasks",
    "gpt_sizes",
    "grammars",
    "numbers",
    "operand_pairs",
    "operand_priors",
    "pcfg_settings",
    "pcfg_tasks",
    "prompt_formats",
    "rasp_programs",
    "train_configs",
    "variants",
    "weak_relevance",
]
