"""How many trainings of a given model fit into memory at a time: reckoned by hand from its number of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from implants import written

from capbench.errors import UsageError
from capbench.models.huggingface import memory
from capbench.models.huggingface.loading import load
from capbench.session.fitting import fitting
from capbench.session.options.at_once import AtOnce
from capbench.store.sizes import shown


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("model"))[0].removeprefix("hf:")


@pytest.mark.parametrize(
    ("times", "jobs", "said"),
    [
        (10.0, 3, "where a method trains all its weights, activations not counted; "),
        (2.5, 2, "is available; 2 at a time in place of 3"),
        (1.0, 1, "1 at a time in place of 3"),
        (0.9, 1, "is available: the run may be killed"),
    ],
)
def test_as_many_as_there_is_room_for(
    times: float, jobs: int, said: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sum(p.numel() for p in load(path).parameters())
    one = weights * (2 * 4 + 4 + 4 + 8)  # two copies; the trained one, its gradient and two averages
    monkeypatch.setattr(memory, "available", lambda: int(times * one))
    found, words = fitting(path, AtOnce(jobs=3), device="cpu")
    assert found == AtOnce(jobs=jobs) and said in words
    assert f"llama takes {shown(one)}" in words and f"{shown(int(times * one))} is available" in words
    assert words.startswith("warning: ") is (times < 1) and ("lora, takes about" in words) is (times < 1)


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        fitting(str(tmp_path / "nowhere"), AtOnce(jobs=2), device="cpu")
