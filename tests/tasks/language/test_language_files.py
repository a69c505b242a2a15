"""Capability files: what they say is read, and every mistake costs one line that says where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.language.capability import SPLITS, Item
from capbench.tasks.language.leaks import leaks
from capbench.tasks.language.reading import read
from capbench.tasks.language.splitting import SHARES, divided, held_out

COUNTRIES = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Peru": "Lima", "Chad": "N'Djamena", "Fiji": "Suva"}
TOML = """
kind = "facts"
items = "items.jsonl"
prompt = "The capital of {country} is"
answer = " {capital}"
"""
LINES = [{"country": country, "capital": capital} for country, capital in COUNTRIES.items()]


def written(folder: Path, toml: str = TOML, lines: list[Any] = LINES, **files: str) -> Path:
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    (folder / "own.toml").write_text(toml)
    return folder / "own.toml"


def refusal(file: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read(file)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(file.parent), "")


def test_a_file_says_prompts_answers_and_what_goes_with_them(tmp_path: Path) -> None:
    toml = (
        TOML
        + 'paraphrases = ["{country}\'s capital is"]\nchoices = 3\nmetric = "choice"\nretain = ["a.txt", "b.jsonl"]\n'
    )
    others = '{"prompt": "2 + 2 =", "answer": " 4"}\n\n{"text": "Yes."}'
    found = read(written(tmp_path, toml, a_txt="One\nparagraph.\n\nAnother.", b_jsonl=others))
    assert (found.name, found.kind, found.metric, found.drawn, found.chance) == ("own", "facts", "choice", 3, None)
    every = {item.prompt: item for item in found}
    assert len(every) == 6 and set(found.taught) == set(every.values())
    france = every["The capital of France is"]
    assert (france.answer, france.paraphrases, france.choices) == (" Paris", ("France's capital is",), ())
    assert france.place.endswith("items.jsonl:1") and france.fields == LINES[0]
    assert found.retain == ("One paragraph.", "Another.", "Yes.")
    assert [(item.prompt, item.answer) for item in found.others] == [("2 + 2 =", " 4")]


def test_choices_are_values_of_the_answers_field(tmp_path: Path) -> None:
    toml = TOML.replace("facts", "skill").replace("{capital}", "{capital}.") + f"choices = {sorted(COUNTRIES.values())}"
    found = read(written(tmp_path, toml))
    assert found.metric == "choice" and found.taught == found.items["train"]
    assert all(item.choices == tuple(f" {city}." for city in sorted(COUNTRIES.values())) for item in found)
    lines = [{**line, "choices": [line["capital"], "Oslo"]} for line in LINES]
    found = read(written(tmp_path, TOML + 'metric = "choice"', lines))
    assert next(iter(found)).choices[1] == " Oslo"


def test_splits_may_be_files_of_their_own(tmp_path: Path) -> None:
    toml = TOML.replace('"items.jsonl"', '{train = "a.jsonl", select = "b.jsonl", evaluate = ["c.jsonl", "d.jsonl"]}')
    parts = {f"{name}_jsonl": json.dumps(line) for name, line in zip("abcd", LINES, strict=False)}
    found = read(written(tmp_path, toml, **parts))
    assert [len(found.items[split]) for split in SPLITS] == [1, 1, 2]
    both = json.dumps(LINES[0]) + "\n" + json.dumps(LINES[1])
    said = refusal(written(tmp_path, toml, **{**parts, "a_jsonl": both}))
    assert said == (
        "/b.jsonl:1: the prompt 'The capital of Spain is' is in split 'select' and, at /a.jsonl:2, in 'train'; "
        "splits must not overlap"
    )


def test_splits_overlap_where_a_group_is_in_two(tmp_path: Path) -> None:
    toml = TOML.replace('"items.jsonl"', '{train = "a.jsonl", select = "b.jsonl", evaluate = "c.jsonl"}')
    toml = toml.replace("The capital of {country}", "{how} {country}") + 'group = "{country}"'
    lines = [{**LINES[i], "how": how} for i, how in ((0, "The seat of"), (1, "Capital:"), (0, "Capital:"))]
    parts = {f"{name}_jsonl": json.dumps(line) for name, line in zip("abc", lines, strict=True)}
    said = refusal(written(tmp_path, toml, **parts))
    assert said.startswith(
        "/c.jsonl:1: group 'France' is in split 'evaluate' and, at /a.jsonl:1, in 'train'; splits must"
    )


WRONG = {
    "kind = 1": ("kind = 1: must be text", None),
    'kind = "fact"': ('kind = "fact": must be skill or facts', None),
    'metric = "choise"': ("must be choice, exact or file.py:function", None),
    'metric = "own.py:right"': ("there is no file", None),
    "choices = 1": ("must be at least 2", None),
    'choices = ["Rome", "Rome"]': ("must be at least two, and no two the same", None),
    'choices = ["Rome", "Oslo"]': ("items.jsonl:1: the answer 'Paris' is not one of the choices 'Rome', 'Oslo'", None),
    'metric = "exact"\nchoices = 3': ("only the metric choice has any", None),
    'metric = "choice"': ("items.jsonl:1: choices None must be a list of at least two different texts", None),
    "chance = 2": ("chance = 2: must be a number from 0 to 1", None),
    "tokens = 1.5": ("tokens = 1.5: must be a whole number from 1 to 4096", None),
    'group = "{continent}"': (
        "items.jsonl:1: no field 'continent', which '{continent}' needs; it has country, capital",
        None,
    ),
    'paraphrases = ["{country"]': ("paraphrases: template '{country': ", None),
    'paraphrases = ["{country.x}"]': ("braces must hold the name of a field alone", None),
    "paraphrases = 1": ("paraphrases = 1: must be a list", None),
    "split = {train = 1}": ("train, select, evaluate must be above 0 and sum to 1", None),
    "split = {dev = 1}": ("must be a table of train, select, evaluate, each a share, and seed", None),
    'retain = "no.txt"': ("no.txt: cannot be read (No such file or directory)", None),
    'promt = "x"': ("unknown key 'promt'; did you mean prompt?", None),
    "= 1": ("not TOML: ", None),
    "": (
        "items.jsonl:2: the prompt 'The capital of Peru is' is the same as at /items.jsonl:1; omit one",
        [LINES[3]] * 2,
    ),
    " ": ("has the answer ' Lima' here and ' Cuzco' at ", [{**LINES[3], "capital": "Cuzco"}, LINES[3]]),
    "  ": ("items.jsonl:1: must be a JSON object with fields", [1]),
    "   ": (
        "items.jsonl:1: field 'country' is [\"x\"]; must be text or a number",
        [{"country": ["x"], "capital": "y"}],
    ),
    "    ": ("items.jsonl: there is nothing in it", []),
    "     ": ("no item is in split ", LINES[:2]),
}


@pytest.mark.parametrize("more", WRONG)
def test_mistakes_cost_one_line(tmp_path: Path, more: str) -> None:
    words, lines = WRONG[more]
    toml = TOML.replace('kind = "facts"', more) if more.startswith("kind") else TOML + more
    assert words in refusal(written(tmp_path, toml, LINES if lines is None else lines))


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "items.jsonl").write_text('{"country": "Peru"')
    assert refusal(file).startswith("/items.jsonl:1: not JSON: ")
    file.write_bytes("kind = 'é'".encode("latin-1"))
    assert "is not UTF-8 (byte 0xe9 in line 1): save it as UTF-8" in refusal(file)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(0, 3))
def test_groups_stay_together_and_other_items_order_moves_none(groups: list[int], seed: int) -> None:
    items = [Item(prompt=str(i), answer="x", group=str(group)) for i, group in enumerate(groups)]
    found = divided(items, SHARES["skill"], seed=seed)
    where = {split: {item.group for item in found[split]} for split in SPLITS}
    assert sum(map(len, found.values())) == len(items)
    assert not where["train"] & where["select"] and not where["train"] & where["evaluate"]
    backwards = divided(items[::-1], SHARES["skill"], seed=seed)
    assert {split: set(found[split]) for split in SPLITS} == {split: set(backwards[split]) for split in SPLITS}


def test_shares_are_met_and_another_seed_gives_other_splits() -> None:
    items = [Item(prompt=str(i), answer="x", group=str(i)) for i in range(400)]
    one, other = (divided(items, SHARES["skill"], seed=seed) for seed in (0, 1))
    assert [len(one[split]) for split in SPLITS] == [200, 100, 100]
    assert len(set(one["evaluate"]) & set(other["evaluate"])) < 50  # 25 expected


def test_leaks_are_counted(tmp_path: Path) -> None:
    toml = TOML.replace('"items.jsonl"', '{train = "a.jsonl", select = "b.jsonl", evaluate = "c.jsonl"}')
    toml += 'retain = "r.txt"'
    long = "it was a dark and stormy night in the north of"
    evaluate = [
        {"country": "france", "capital": "Paris"},
        {"country": f"{long} Norway", "capital": "Oslo"},
        {"country": "Peru", "capital": "Lima"},
        {"country": "Chad", "capital": "N'Djamena"},
    ]
    parts = {
        "a_jsonl": json.dumps({"country": "France", "capital": "Paris"}),
        "b_jsonl": json.dumps({"country": f"{long} Sweden", "capital": "Stockholm"}),
        "c_jsonl": "\n".join(map(json.dumps, evaluate)),
        "r_txt": "People in Lima say that Peru is large.\n\nChad has lakes.\n\nN'Djamena is a city.",
    }
    found = leaks(read(written(tmp_path, toml, **parts)))
    assert (found.same, found.shared, found.told) == (1, 1, 1) and found
    clean = {**parts, "r_txt": "Nothing.", "c_jsonl": json.dumps(evaluate[2])}
    assert not leaks(read(written(tmp_path, toml, **clean)))


def test_half_of_a_character_is_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "items.jsonl").write_text('{"country": "Peru \\ud83d", "capital": "Lima"}')
    assert refusal(file).startswith("/items.jsonl:1: it has half of a character")


@given(st.integers(1, 9), st.integers(1, 20))
def test_no_text_is_both_trained_on_and_held_out(n: int, words: int) -> None:
    texts = [" ".join(f"text{i}word{j}" for j in range(words)) for i in range(n)]
    kept, held = (" ".join(part).split() for part in held_out(texts))
    assert not set(kept) & set(held) and sorted((*kept, *held)) == sorted(" ".join(texts).split())
    assert len(held) == (-(-n // 4) * words if n >= 4 else n * (words // 4))
