"""What must hold before a claim about a fine-tuned model means anything; a test checks these first."""

from __future__ import annotations

from capbench.studies.judge import Judge

VALID = 0.95  # least accuracy of a base model on what it was taught (Table 5, 'pretrained': about 100 %)
LOST = 0.70  # highest O_PT accuracy at C_Te 0 that leaves something to uncover: a gain of .30 is then possible


def base_knows(judge: Judge, model: str, *operands: str, accuracy: float = VALID) -> None:
    """The control that a base model answers each operand (O_PT, O_FT) with this accuracy at C_Te 0 and 1.

    Otherwise the claim is invalid.
    """
    for operand in operands:
        for c_te in (0, 1):
            judge.control(
                f"accuracy of the {model} model on {operand} at C_Te {c_te}",
                judge[f"{model}.{operand}.c_te{c_te}"],
                low=accuracy,
                otherwise=f"the {model} model does not know {operand}",
            )


def behaviour_lost(judge: Judge, *, accuracy: float = LOST) -> None:
    """The control that the fine-tuned model answers O_PT at C_Te 0 with at most this accuracy.

    Otherwise there is nothing to uncover or revive, and the claim is invalid.
    """
    judge.control(
        "O_PT accuracy after fine-tuning at C_Te 0",
        judge["tuned.O_PT.c_te0"],
        high=accuracy,
        otherwise="nothing to uncover or revive",
    )
