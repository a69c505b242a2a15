"""What no model was taught, in the form of what it was: the controls of attacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from capbench.errors import UsageError
from capbench.tasks.language.capability import SPLITS, Capability, Item, check_items
from capbench.tasks.language.named import capability
from capbench.tasks.language.novel import novel, permuted
from capbench.tasks.language.unrelated import unrelated


def pairs(of: Capability) -> list[tuple[Item, Item]]:
    return [pair for s in SPLITS for pair in zip(of.items[s], novel(of).items[s], strict=True)]


def same(those: Sequence[tuple[Item, Item]]) -> float:
    return sum(a.answer == b.answer for a, b in those) / len(those)


@pytest.mark.parametrize("spec", ["implant-facts:0", "implant-skill:2"])
def test_a_novel_capability_has_the_form_of_the_other_and_other_answers(spec: str) -> None:
    of = capability(spec)
    both = pairs(of)
    check_items(novel(of))
    assert novel(of) == novel(of)
    assert all(b.choices == a.choices and b.answer in b.choices for a, b in both)
    choices = len(of.items["train"][0].choices)
    assert same(both) <= 2 / choices  # no more than chance, and a little
    assert max(Counter(b.answer for _, b in both).values()) <= 2.2 * len(both) / choices


def test_novel_facts_are_about_made_up_names() -> None:
    of = capability("implant-facts:0")
    for before, after in pairs(of):
        name = before.fields["name"]
        assert name not in after.prompt and all(name not in text for text in after.paraphrases)
    other = novel(of, seed=1)
    assert [i.prompt for i in other] != [i.prompt for i in novel(of)]


def test_a_novel_skill_is_a_rule_on_the_same_prompts() -> None:
    of = capability("implant-skill:0")
    assert [a.prompt for a, _ in pairs(of)] == [b.prompt for _, b in pairs(of)]
    by_letter: dict[str, set[str]] = {}
    for _, b in pairs(of):
        by_letter.setdefault(b.fields["words"][0], set()).add(b.answer)
    assert all(len(answers) == 1 for answers in by_letter.values())


def test_permuted_answers_are_others_and_only_of_what_is_trained_on() -> None:
    of = capability("implant-facts:3")
    found = permuted(of)
    assert found.items["evaluate"] == of.items["evaluate"] and found.items["select"] == of.items["select"]
    both = list(zip(of.items["train"], found.items["train"], strict=True))
    assert same(both) == 0
    assert Counter(a.answer for a, _ in both) == Counter(b.answer for _, b in both)


def test_unrelated_facts_are_drawn_with_a_seed() -> None:
    few = unrelated(20, seed=1)
    assert few == unrelated(20, seed=1) != unrelated(20, seed=2)
    assert len({item.prompt for item in unrelated(150)}) == 150
    with pytest.raises(UsageError, match="9999 unrelated facts: there are only"):
        unrelated(9999)
