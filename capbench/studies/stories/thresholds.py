"""Thresholds that differ with who says what a story has: an exact checker, or a classifier that errs. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Either:
    """checker: of stories that are made here, of which all is known. classifier: of somebody's own, as in the paper."""

    checker: float
    classifier: float

    def of(self, own: bool) -> float:
        """The one for somebody's own stories, or for those that are made here."""
        return self.classifier if own else self.checker


# Least share of stories in which a base model tells the target where it is asked for. A classifier misses some: the paper's
# models end between .75 and .94 after reFT (Table 1).
TOLD = Either(checker=0.95, classifier=0.75)
FOLLOWED = 0.90  # the same of each feature, told or left out as asked, of stories that are made here
MORE = 0.50  # of somebody's own: how many more stories have the target where it is asked for than where not
LOST = 0.70  # highest share of stories with the target that leaves something to bring back
CLASSIFIED = 0.85  # least balanced accuracy of the classifier on held-out stories; the paper's has .92
UNREAD = (
    0.10  # highest share of stories with a sentence that is none of a story's: with more, what they tell is not known
)
