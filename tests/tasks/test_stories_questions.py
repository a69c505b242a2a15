"""Questions over stories: the passage says the answer, once, and no choice but the right one fits."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from capbench.errors import UsageError
from capbench.tasks.stories.checker import check
from capbench.tasks.stories.events import EVENTS
from capbench.tasks.stories.happenings import ANIMALS, HAPPENINGS
from capbench.tasks.stories.questions import CHOICES, KINDS, Question, as_jsonl, questions
from capbench.tasks.stories.vocabulary import names, split
from capbench.tasks.stories.words import PARTS


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions(120, seed=0)


def test_every_kind_is_asked_equally_often_and_of_a_story_of_its_own(asked: list[Question]) -> None:
    assert Counter(q.kind for q in asked) == dict.fromkeys(KINDS, 20)
    assert len({q.passage for q in asked}) == 120


def test_the_passage_says_the_answer_and_no_other_choice(asked: list[Question]) -> None:
    for q in asked:
        said = split(q.passage)
        assert q.answer in q.choices and len(set(q.choices)) == CHOICES == len(q.choices)
        assert [choice for choice in q.choices if choice.lower() in said] == [q.answer], q
        assert not {choice.lower() for choice in q.choices} & set(split(q.question)), q


def test_a_question_can_be_answered_by_hand() -> None:
    """Worked through from the text, without the tables that questions are made of."""
    for q in questions(60, seed=3, kinds=("who", "what", "which")):
        hero, friend, look, thing = re.match(r"(\w+) and (\w+) found a (\w+) (\w+)\.", q.passage).groups()  # type: ignore[union-attr]
        told = {"who": friend, "what": thing, "which": look}[q.kind]
        assert q.answer == told and (q.kind != "who" or hero in q.question)
    for q in questions(20, seed=3, kinds=("where",)):
        assert [w for w in split(q.passage) if w in PARTS["place"].all] and set(split(q.passage)) & set(
            PARTS["place"].all
        ) == {q.answer}


def test_the_passage_is_a_summary_and_a_story(asked: list[Question]) -> None:
    for q in asked[:30]:
        summary, _, story = q.passage.partition(". ")
        assert check(story).whole and "found a" in summary
        assert q.question.endswith("?") and "{" not in q.prompt and q.prompt.endswith("Answer:")


@pytest.mark.parametrize("feature", HAPPENINGS)
def test_each_phrasing_has_its_question_and_says_the_answer(feature: str) -> None:
    lines = EVENTS[feature].strip().splitlines()
    assert len(lines) == len(HAPPENINGS[feature])
    for line, (question, answer) in zip(lines, HAPPENINGS[feature], strict=True):
        assert answer in line.split(), (line, answer)
        assert set(re.findall(r"{\w+}", question)) <= set(re.findall(r"{\w+}", line)), (line, question)
    assert len({answer for _, answer in HAPPENINGS[feature]}) == len(lines)


def test_animals_that_are_no_part_of_a_story_are_known() -> None:
    animals = {
        "bird",
        "birds",
        "bees",
        "bee",
        "fish",
        "horses",
        "horse",
        "dragon",
        "mouse",
        "cow",
        "bear",
        "wolf",
        "lion",
    }
    assert animals & set(names()) == ANIMALS


def test_splits_and_what_is_held_out_share_nothing() -> None:
    train, test = questions(60, seed=0), questions(60, seed=0, split="evaluate")
    assert not {q.passage for q in train} & {q.passage for q in test}
    held_out = questions(60, seed=0, held_out=True)
    people = {name.capitalize() for name in PARTS["hero"].held_out}
    assert all(set(re.findall(r"[A-Z]\w+", q.passage.split(" found")[0])) <= people for q in held_out)
    assert {q.answer for q in held_out if q.kind == "what"} <= set(PARTS["object"].held_out)


def test_equal_seeds_give_equal_questions() -> None:
    assert questions(12, seed=5) == questions(12, seed=5) != questions(12, seed=6)
    assert questions(0, seed=5) == []


def test_lines_of_json(asked: list[Question]) -> None:
    lines = [json.loads(line) for line in as_jsonl(asked).splitlines()]
    assert len(lines) == 120 and lines[0].keys() == {"prompt", "kind", "passage", "question", "answer", "choices"}
    assert [line["prompt"] for line in lines] == [q.prompt for q in asked]
    assert all(line["answer"] in line["choices"] for line in lines)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown kind of question 'why'; known: who, what"):
        questions(1, seed=0, kinds=("why",))
    with pytest.raises(UsageError, match="unknown split 'test'"):
        questions(1, seed=0, split="test")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="-1 questions of 6 kinds"):
        questions(-1, seed=0)
