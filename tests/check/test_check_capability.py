"""Checking a capability: alone, and on a tiny model with a tokenizer of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import run
from hf_models import saved
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from capbench.check import Finding, check_capability
from capbench.errors import UsageError

VOCABULARY = ["[UNK]", "say", "a", "b", "c", "x", "y", ":"]
TOML = """
kind = "skill"
items = "items.jsonl"
prompt = "say {one} {two} :"
answer = " {said}"
choices = ["x", "y"]
retain = "text.txt"
"""

CHECKERS = """
def right(text, item):
    return item["said"] in text
def bad(text, item):
    return 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [{"one": one, "two": two, "said": "x" if one == "a" else "y"} for one in "abcxy" for two in "abcxy"]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "own.toml").write_text(TOML)
    (tmp_path / "text.txt").write_text("say a b c")
    (tmp_path / "own.py").write_text(CHECKERS)
    return tmp_path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with random weights and a tokenizer of whole words."""
    where = tmp_path_factory.mktemp("model")
    saved(where, "llama", vocab_size=len(VOCABULARY))
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(where)
    return f"hf:{where}"


def by_name(spec: str, model: str | None = None) -> dict[str, Finding]:
    found = list(check_capability(spec, model))
    assert all(f.message and "\n" not in f.message and len(f.message) < 300 for f in found)
    return {f.check: f for f in found}


def test_a_file_alone() -> None:
    found = by_name("own.toml")
    assert list(found) == ["file", "leaks"] and all(f.ok for f in found.values())
    assert found["file"].message.startswith(
        "own: skill, metric choice; 12 to train, 7 to select, 6 to evaluate; 25 groups"
    )


def test_a_file_on_a_model(place: str) -> None:
    found = by_name("own.toml", place)
    assert list(found) == ["file", "leaks", "tokens", "chance", "memory", "base", "cost"] and all(
        f.ok for f in found.values()
    )
    assert found["tokens"].message == (
        "prompts of 4 to 4 tokens, median 4; the model reads 12; 2 choices, told apart by one token"
    )
    assert float(found["chance"].message) >= 0.5
    assert "on 6 items to evaluate" in found["base"].message and found["base"].note
    assert "a pass of 16 prompts takes" in found["cost"].message


def test_a_checker_judges_what_is_written(place: str, folder: Path) -> None:
    plain = TOML.replace('choices = ["x", "y"]', 'metric = "own.py:right"\ntokens = 3')
    (folder / "own.toml").write_text(plain)
    found = by_name("own.toml", place)
    assert "3 tokens are written for the checker" in found["tokens"].message and "accuracy" in found["base"].message
    for name, why in (("bad", "gave 2 for items.jsonl:"), ("gone", "there is no function 'gone'")):
        (folder / "own.toml").write_text(plain.replace("right", name))
        with pytest.raises(UsageError, match=why):
            by_name("own.toml", place)


def test_leaks_are_told(folder: Path) -> None:
    (folder / "own.toml").write_text(
        TOML.replace('"items.jsonl"', '{train="a.jsonl", select="b.jsonl", evaluate="c.jsonl"}')
    )
    for name, one in (("a", "B"), ("b", "c"), ("c", "b")):
        (folder / f"{name}.jsonl").write_text(json.dumps({"one": one, "two": "a", "said": "x"}))
    leaks = by_name("own.toml")["leaks"]
    assert not leaks.ok and leaks.message.startswith(
        "of 1 items to evaluate 1 have a prompt of another split but for case"
    )


def test_the_command(place: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    ended = run(capsys, "check-capability", "own.toml", f"--model={place}")
    assert ended.code == 0 and ended.out.splitlines()[-1] == "own.toml: nothing wrong"
    assert run(capsys, "check-capability", "implant-skill:3").code == 0
    for arguments, why in (
        (("gone.toml",), "gone.toml: cannot be read"),
        (("own.toml", "--model=gpt"), "--model=gpt: must be hf:PATH"),
        (("implant-skill", f"--model={place}"), "the tokenizer makes the same tokens of"),
    ):
        ended = run(capsys, "check-capability", *arguments)
        assert ended.code == 2 and why in ended.err and ended.err.count("\n") == 1, ended.err
