"""The table of options: parsers come from it, and what goes together is checked by one function with one message."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from capbench.errors import UsageError
from capbench.session.options.given import Given, declare, unknown_words
from capbench.session.options.row import PYTEST
from capbench.session.options.table import GROUPS, options_of

TAKERS = sorted({taker for rows in GROUPS.values() for option in rows for taker in option.takers})
ROWS = [option for rows in GROUPS.values() for option in rows]


def said(taker: str, **texts: Any) -> str:
    with pytest.raises(UsageError) as error:
        Given(taker, {name.replace("_", "-"): text for name, text in texts.items()}).checked()
    return str(error.value)


@pytest.mark.parametrize("taker", TAKERS)
def test_every_command_has_one_row_for_a_name(taker: str) -> None:
    names = [option.name for option in options_of(taker)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_declared_is_read_back(taker: str) -> None:
    """All options of a command, through a parser: texts as given, and nothing for those that were not."""
    parser = argparse.ArgumentParser()
    declare(parser.add_argument, taker)
    rows = [o for o in options_of(taker) if not (o.foreign and taker == PYTEST)]
    words = [w for o in rows for w in ([o.typed(taker), f"<{o.name}>"] if o.value else [o.typed(taker)])]
    given = Given.read(taker, parser.parse_args(words))
    texts: dict[str, Any] = {o.name: f"<{o.name}>" if o.value else True for o in rows}
    texts |= {o.name: [f"<{o.name}>"] for o in rows if o.repeatable}
    assert given.texts == texts
    needed = [w for o in rows if o.required for w in (o.typed(taker), "x")]
    assert Given.read(taker, parser.parse_args(needed)).texts == {o.name: "x" for o in rows if o.required}


@pytest.mark.parametrize("taker", TAKERS)
def test_defaults_are_values_that_the_type_takes(taker: str) -> None:
    found = Given(taker).checked()
    assert found.keys() == {o.name for o in options_of(taker)}
    without = {o.name for o in options_of(taker) if o.default is None and o.value and not o.repeatable}
    assert {name for name, value in found.items() if value is None} == without


@pytest.mark.parametrize("option", ROWS, ids=lambda o: f"{o.name} of {o.takers[0]}")
def test_every_exclusion_is_refused_in_the_same_words(option: Any) -> None:
    taker = option.takers[0]
    for condition, why in option.excludes.items():
        name, _, value = condition.partition("=")
        given = Given(taker, {option.name: "some", name: value or "other"})
        with pytest.raises(UsageError) as error:
            given.checked()
        both = (given.shown(option.name), given.shown(name))
        assert str(error.value) == f"{both[0]} cannot be combined with {both[1]}: {why}; omit one of them"
    if option.needs:
        name = option.needs.partition("=")[0]
        assert f"{option.typed(taker)}" in (line := said(taker, **{option.name: "some" if option.value else True}))
        assert " needs " in line and name in line


def test_a_mistake_names_the_option_as_it_was_typed() -> None:
    assert said("pytest", scale="huge") == "--capbench-scale=huge: unknown scale; known: smoke, small, paper"
    assert said("plan", scale="huge") == "--scale=huge: unknown scale; known: smoke, small, paper"
    project = Given("pytest", {"scale": "huge", "report": "reports"})
    with pytest.raises(UsageError, match=r"^--capbench-scale=huge: "):
        Given("plan", {"seeds": "1"}, beneath=project).checked()
    assert Given("plan", {"scale": "smoke"}, beneath=project).checked()["scale"] == "smoke"
    assert "report" not in Given("plan", {"scale": "smoke"}, beneath=project).checked()


def test_attacks_are_few_or_all() -> None:
    assert (
        Given("pytest").checked()["attacks"] == "default"
        and Given("plan", {"attacks": "all"}).checked()["attacks"] == "all"
    )
    assert said("pytest", attacks="some") == "--capbench-attacks=some: unknown attacks; known: default, all"


def test_a_language_model_is_looked_at_before_anything_is_computed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    given = f"hf:{folder}"
    assert said(PYTEST, model="SmolLM2") == "--capbench-model=SmolLM2: must be hf:PATH, as in hf:models/SmolLM2-135M"
    assert said(PYTEST, model="hf:nowhere").startswith("--capbench-model=hf:nowhere: there is no such file")
    assert said(PYTEST, model=given).startswith(f"--capbench-model={given}: the folder has no tokenizer")
    (folder / "tokenizer.json").write_text("{}")
    assert Given(PYTEST, {"model": given}).checked()["model"] == str(folder)


def test_capabilities_are_read_before_anything_is_computed(tmp_path: Path) -> None:
    file = tmp_path / "cap.toml"
    file.write_text('kind = "habit"\n')
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    model = f"hf:{tmp_path / 'm.gguf'}"

    def refused(spec: str) -> str:
        return said(PYTEST, model=model, capability=[spec])

    assert refused("nothing").startswith("--capbench-capability=nothing: must be a .toml file or one of implant-skill")
    assert refused(str(file)).startswith(f"--capbench-capability={file}: 'items' is missing")
    assert "--capbench-model=VALUE" in said(PYTEST, capability=["implant-skill:0"])
    found = Given(PYTEST, {"model": model, "capability": ["implant-skill:0", "implant-skill:0"]}).checked()
    assert found["capability"] == ("implant-skill:0",)


def test_a_condition_on_a_value_holds_for_that_value_only() -> None:
    assert Given("pytest", {"stack": "4", "executor": "local"}).checked()["stack"] == 4
    assert said("train", address="h:1", executor="local") == (
        "--address=h:1 needs --executor=ray, not --executor=local"
    )
    assert said("pytest", fail_on=["status"]) == "--capbench-fail-on=status needs --capbench-baseline=VALUE"
    assert Given("compare", {"fail-on": ["status"]}).checked()["fail-on"].words == ("status",)  # has no baseline


def test_cuda_is_needed_where_models_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capbench.session.options.values.has_cuda", lambda: False)
    assert "--device=cuda: this machine" in said("plan", device="cuda")
    assert "--capbench-device=cuda: this machine" in said("pytest", device="cuda")


def test_words_that_a_command_does_not_take() -> None:
    assert unknown_words("plan", ["--report=x"]) == (
        "--report=x: an option of pytest and `capbench fidelity` and `capbench map`, not of `capbench plan`; omit it"
    )
    assert "give --scale" in unknown_words("plan", ["--capbench-scale=smoke"])
    assert unknown_words("plan", ["--nothing", "x"]) == "unrecognized arguments: --nothing x (see capbench plan --help)"
