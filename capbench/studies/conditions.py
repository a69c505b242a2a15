"""What must hold before a claim about a fine-tuned model means anything; a test calls these first."""

from __future__ import annotations

from capbench.studies.judge import Judge

VALID = 0.95  # accuracy of a base model on what it was taught, at C_Te 0 and 1 (Table 5: 'pretrained' is about 100 %)
LOST = 0.70  # O_PT accuracy at C_Te 0 up to which there is something to uncover (a gain of .30 is then possible)


def base_knows(judge: Judge, model: str, *operands: str) -> None:
    """Every base model of the claim answers O_PT and/or O_FT, at C_Te 0 and 1; else the claim is invalid."""
    for operand in operands:
        for c_te in (0, 1):
            worst = min(judge[f"{model}.{operand}.c_te{c_te}"])
            judge.require(
                worst >= VALID,
                f"the {model} model answers {operand} at C_Te {c_te} with accuracy {worst:.2f} only, {VALID} is needed",
            )


def behaviour_lost(judge: Judge) -> None:
    """Fine-tuning took the behaviour away on every seed; else there is nothing to uncover or revive."""
    best = max(judge["tuned.O_PT.c_te0"])
    judge.require(
        best <= LOST,
        f"nothing to uncover or revive: O_PT accuracy after fine-tuning is up to {best:.2f} (above {LOST}) at C_Te 0",
    )
