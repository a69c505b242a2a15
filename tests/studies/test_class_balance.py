"""What is evaluated was not trained on, where splits can see to that; where they cannot, the reading says so."""

from __future__ import annotations

import pytest
from tiny import study

from capbench.results import Measurement
from capbench.studies.lab import Bench
from capbench.studies.pcfg.readings import class_balance
from capbench.tasks.pcfg.grammar import WIDE_GRAMMAR
from capbench.tasks.pcfg.setting import PcfgSetting

SETTING = PcfgSetting(text_len=12, numbers={"C": 9, "CC": 9, "I": 1, "T": 2}, grammar=WIDE_GRAMMAR)
# As many training strings as make some of 19 683 windows of nine letters likely to be drawn twice.
STUDY = study(setting=SETTING, n_evaluate=64)


def balance() -> dict[str, Measurement]:
    return {m.name: m for m in class_balance(Bench(study=STUDY, seed=0)) if m.curve is None}


def test_no_question_is_trained_and_scored_where_as_many_letters_decide_both() -> None:
    found = balance()
    assert found["balance.trained.C"].value == found["balance.trained.CC"].value == 0
    assert found["balance.trained.C"].note == ""


def test_a_question_of_a_few_letters_is_in_every_split_and_the_reading_says_so() -> None:
    found = balance()
    assert found["balance.trained.T"].value == 1
    assert found["balance.trained.T"].note.startswith("the answer hangs on 1 of 12 letters")
    assert 0.9 < (found["balance.trained.I"].value or 0) <= 1


def test_splits_by_the_whole_text_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where letters that nobody counts decide the split, what is scored was trained on."""
    monkeypatch.setattr(PcfgSetting, "window", SETTING.text_len)
    assert (balance()["balance.trained.C"].value or 0) > 0.5


def test_the_splits_are_balanced_alike() -> None:
    found = balance()
    classes = [found[f"balance.classes.{split}"].value or 0 for split in ("train", "select", "evaluate")]
    assert min(classes) > 0.8 * max(classes)  # 512 strings each; other strings of the same kind
    assert all(4 < c < 10 for c in classes)  # 0 to 9 are the possible counts
