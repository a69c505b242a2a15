"""What must hold before a claim about a fine-tuned model means anything; a test checks these first."""

from __future__ import annotations

from capbench.studies.judge import Judge

VALID = 0.95  # least accuracy of a base model on what it was taught (Table 5, 'pretrained': about 100 %)
LOST = 0.70  # highest O_PT accuracy at C_Te 0 that leaves something to uncover: a gain of .30 is then possible


def base_knows(judge: Judge, model: str, *operands: str, accuracy: float = VALID) -> None:
    """Require that a base model answers each operand (O_PT, O_FT) with this accuracy at C_Te 0 and 1, on every seed.

    Otherwise the claim is invalid.
    """
    for operand in operands:
        for c_te in (0, 1):
            worst = min(judge[f"{model}.{operand}.c_te{c_te}"])
            judge.require(
                worst >= accuracy,
                f"the {model} model answers {operand} at C_Te {c_te} with accuracy {worst:.2f} only, {accuracy} is needed",
            )


def behaviour_lost(judge: Judge, *, accuracy: float = LOST) -> None:
    """Require that the fine-tuned model answers O_PT at C_Te 0 with at most this accuracy, on every seed.

    Otherwise there is nothing to uncover or revive, and the claim is invalid.
    """
    best = max(judge["tuned.O_PT.c_te0"])
    judge.require(
        best <= accuracy,
        f"nothing to uncover or revive: O_PT accuracy after fine-tuning is up to {best:.2f} (above {accuracy}) at C_Te 0",
    )
