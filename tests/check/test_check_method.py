"""Checking methods: a good one passes, every way of being a bad one is found by the check that is meant for it."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_runs import in_folder, run

from capbench.check import Finding, check_method
from capbench.errors import UsageError
from capbench.models.gpt import Gpt
from capbench.pipeline.process_state import ProcessState, unharmed
from capbench.training.loop import fit

Method = Callable[..., Any]


def fitted(model: Any, task: Any, config: Any) -> Any:
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    assert len({f.check for f in findings}) == len(findings)
    assert all(f.message and "\n" not in f.message and len(f.message) < 300 for f in findings)
    return {f.check: f for f in findings}


def failed(method: Method | str, **more: Any) -> dict[str, str]:
    return {f.check: f.message for f in by_name(check_method(method, **more)).values() if not f.ok}


# ---- good ones


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "frozen-trunk", "identity"])
def test_the_built_in_methods_pass(name: str) -> None:
    found = by_name(check_method(name))
    assert all(f.ok for f in found.values()) and len(found) == 15
    notes = {check for check, f in found.items() if f.note}
    assert (
        notes == {"full": set(), "frozen-trunk": {"compiled models"}, "identity": {"changes", "seed", "budget"}}[name]
    )


@pytest.mark.slow
def test_a_function_is_checked_as_it_is_and_gets_its_arguments() -> None:
    def scaled(model: Any, task: Any, config: Any, *, by: float) -> Any:
        tuned = fitted(model, task, config)
        for parameter in tuned.parameters():
            parameter.data *= by
        return tuned

    assert failed(scaled, arguments={"by": 0.5}) == {}
    assert failed(scaled, arguments={"by": float("inf")}).keys() == {"finite"}
    assert list(failed(scaled)) == ["signature"]
    assert "'by'" in failed(scaled)["signature"]


@pytest.mark.slow
def test_the_cost_is_counted() -> None:
    def two_passes(model: Any, task: Any, config: Any) -> Any:
        def loss(model: Any, batch: Any, task: Any) -> torch.Tensor:
            with torch.no_grad():
                model(batch.tokens)
            return model(batch.tokens).square().mean() + model(batch.tokens).mean()

        fit(tuned := copy.deepcopy(model), task, config, loss=loss)
        return tuned

    budget = by_name(check_method(two_passes))["budget"]
    assert budget.ok and budget.note
    assert (
        "16 optimizer steps of config.steps = 16; 2 times" in budget.message
        and "gradients, 1 times without" in budget.message
    )


# ---- bad ones: which checks fail, and what they say


def mutates(model: Any, task: Any, config: Any) -> Any:
    fit(model, task, config)
    return copy.deepcopy(model)


def in_place(model: Any, task: Any, config: Any) -> Any:
    fit(model, task, config)
    return model


def same_model(model: Any, task: Any, config: Any) -> Any:
    return model


def shares(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.token_embedding.weight = model.token_embedding.weight
    return tuned


def freezes_the_input(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    model.requires_grad_(False)
    return tuned


def leaves_training_mode(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    model.train()
    return tuned


def hooks_the_input(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    model.blocks[0].register_forward_hook(lambda module, given, out: out.roll(1, -1))
    return tuned


def hooks_the_result(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.blocks[0].register_forward_hook(lambda module, given, out: out.roll(1, -1))
    return tuned


def raises(model: Any, task: Any, config: Any) -> Any:
    raise ValueError("two\nlines")


def exits(model: Any, task: Any, config: Any) -> Any:
    raise SystemExit(3)


def none(model: Any, task: Any, config: Any) -> None:
    fitted(model, task, config)


def number(model: Any, task: Any, config: Any) -> int:
    return 5


def two_parameters(model: Any, task: Any) -> Any:
    return copy.deepcopy(model)


def by_keyword(*, model: Any, task: Any, config: Any) -> Any:
    return copy.deepcopy(model)


def global_noise(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.unembedding.weight.data += torch.randn(tuned.unembedding.weight.shape)
    return tuned


def numpy_noise(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.unembedding.weight.data *= 1 + np.random.rand()
    return tuned


def seeds_globally(model: Any, task: Any, config: Any) -> Any:
    torch.manual_seed(config.seed)
    random.seed(0)
    return fitted(model, task, config)


CALLS: list[int] = []


def counts_its_calls(model: Any, task: Any, config: Any) -> Any:
    CALLS.append(1)
    tuned = fitted(model, task, config)
    tuned.unembedding.weight.data += len(CALLS)
    return tuned


def only_once(model: Any, task: Any, config: Any) -> Any:
    if CALLS:
        raise RuntimeError("called before")
    CALLS.append(1)
    return fitted(model, task, config)


def not_numbers(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.unembedding.weight.data[0, 0] = float("nan")
    return tuned


def adds_weights(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.adapter = torch.nn.utils.skip_init(torch.nn.Linear, 4, 4)
    torch.nn.init.zeros_(tuned.adapter.weight)
    torch.nn.init.zeros_(tuned.adapter.bias)
    return tuned


def lacks_weights(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    del tuned.norm
    return tuned


def other_type(model: Any, task: Any, config: Any) -> Any:
    return fitted(model, task, config).double()


def on_meta(model: Any, task: Any, config: Any) -> Any:
    return fitted(model, task, config).to("meta")


def compiled_block(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    tuned.blocks[0] = torch.compile(tuned.blocks[0], backend="eager")
    return tuned


def quantized(model: Any, task: Any, config: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(fitted(model, task, config), {torch.nn.Linear})


def twice_the_steps(model: Any, task: Any, config: Any) -> Any:
    return fitted(fitted(model, task, config), task, config)


def no_more_gradients(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    torch.set_grad_enabled(False)
    return tuned


def many_settings(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.use_deterministic_algorithms(True)
    return tuned


def hooks_everything(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
    return tuned


def patches_a_class(model: Any, task: Any, config: Any) -> Any:
    """As a method does that wants other answers; the second time it is patched already."""
    tuned = fitted(model, task, config)
    if not hasattr(Gpt, "_answers"):
        Gpt._answers = Gpt.answer_logits  # type: ignore[attr-defined]
        Gpt.answer_logits = lambda self, tokens, position: self._answers(tokens, position)  # type: ignore[method-assign]
    return tuned


def patches_a_function(model: Any, task: Any, config: Any) -> Any:
    tuned = fitted(model, task, config)
    torch.nn.functional.relu = torch.nn.functional.gelu
    return tuned


def own_answers(model: Any, task: Any, config: Any) -> Any:
    """Only the answers, not the logits elsewhere."""
    tuned = fitted(model, task, config)
    tuned.answer_logits = lambda tokens, position: tuned(tokens)[:, position].flip(-1)
    return tuned


BAD: dict[Method, dict[str, str]] = {
    own_answers: {"weights tell all": "saved and loaded, it answers differently"},
    mutates: {"input": "it changes weights of the model that it is given (token_embedding.weight, …)"},
    in_place: {"input": "what it returns shares weights with the model that it is given"},
    same_model: {"input": "work on copy.deepcopy(model)"},
    shares: {"input": "shares weights"},
    freezes_the_input: {"input": "requires_grad"},
    leaves_training_mode: {"input": "training mode"},
    hooks_the_input: {"input": "behaves differently afterwards: a hook"},
    hooks_the_result: {"weights tell all": "answers differently"},
    raises: {"runs": "it failed: ValueError: two lines (test_check_method.py:"},
    exits: {"runs": "it failed: SystemExit: 3"},
    none: {"returns": "it returned None; it must return the fine-tuned Model"},
    number: {"returns": "it returned an int; it must return the fine-tuned Model"},
    two_parameters: {"signature": "it takes (model, task); it must be callable as method(model, task, config)"},
    by_keyword: {"signature": "(model, task, config)"},
    global_noise: {"global random state": "(torch)", "repeatable": "two runs with the same config.seed differ"},
    numpy_noise: {"global random state": "(numpy.random)", "repeatable": "differ"},
    seeds_globally: {"global random state": "(random, torch)"},
    counts_its_calls: {"repeatable": "differ"},
    only_once: {"repeatable": "RuntimeError: called before", "seed": "RuntimeError: called before"},
    not_numbers: {"finite": "(unembedding.weight)"},
    adds_weights: {"shape": "it adds 'adapter.weight' (and 1 more); merge adapters"},
    lacks_weights: {"shape": "it lacks 'norm.weight' (and 1 more)"},
    other_type: {"shape": "is torch.float64, the base model's torch.float32"},
    on_meta: {"shape": "whose weights hold no numbers ('token_embedding.weight' (and 40 more) on meta)"},
    compiled_block: {"shape": "(torch.compile); put `blocks.0._orig_mod` back in place of `blocks.0`"},
    quantized: {"shape": "(quantization)"},
    twice_the_steps: {"budget": "32 optimizer steps of config.steps = 16"},
    no_more_gradients: {"process": "(torch.set_grad_enabled)"},
    many_settings: {"process": "(torch.set_num_threads, torch.use_deterministic_algorithms)"},
    hooks_everything: {"process": "leaves hooks on all modules or optimizers (_global_forward_hooks)"},
    patches_a_class: {
        "process": "replaces code of others (capbench.models.gpt.Gpt._answers, capbench.models.gpt.Gpt.answer_logits)"
    },
    patches_a_function: {"process": "replaces code of others (torch.nn.functional.relu)"},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", BAD, ids=lambda method: method.__name__)
def test_what_is_wrong_with_a_method_is_found_and_nothing_else_is(method: Method) -> None:
    CALLS.clear()
    before = ProcessState()
    found = failed(method)
    assert found.keys() == BAD[method].keys(), found
    assert [words for check, words in BAD[method].items() if words not in found[check]] == []
    assert before.settings.changed() == before.generators.changed() == []
    assert before.patches.changed() == before.hooks.changed() == []


@pytest.mark.slow
def test_what_an_import_changes_is_said_of_the_import(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import copy, torch\nfrom capbench import fit\nfrom capbench.models.gpt import Gpt\n"
        "torch.set_default_dtype(torch.float64)\ntorch.manual_seed(3)\nGpt.forward = None\n"
        "def tune(model, task, config):\n    fit(tuned := copy.deepcopy(model), task, config)\n    return tuned\n"
    )
    before = ProcessState()
    found = {f.check: f.message for f in check_method(f"{tmp_path / 'mine.py'}:tune") if not f.ok}
    assert found.keys() == {"loads"}
    for words in ("(torch.set_default_dtype)", "(capbench.models.gpt.Gpt.forward)", "global generators (torch)"):
        assert words in found["loads"]
    assert before.patches.changed() == before.settings.changed() == before.generators.changed() == []


def test_what_cannot_be_loaded_is_a_finding_and_no_known_form_a_usage_error(tmp_path: Path) -> None:
    (only,) = check_method(f"{tmp_path}/gone.py:tune")
    assert (only.check, only.ok) == ("loads", False) and "there is no file" in only.message
    (only,) = check_method("full", arguments={"rank": 3})
    assert only.message == "method 'full' has no argument 'rank'; it takes none"
    with pytest.raises(UsageError, match="unknown method 'fulll'"):
        check_method("fulll")


def test_a_method_that_gives_nothing_back_is_still_told_what_it_left_behind() -> None:
    def both(model: Any, task: Any, config: Any) -> None:
        torch.rand(1)

    assert failed(both).keys() == {"returns", "global random state"}


def test_the_state_of_the_process_is_put_back_also_after_an_error() -> None:
    before = ProcessState()
    with pytest.raises(ZeroDivisionError), unharmed():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        random.random(), np.random.rand(), torch.rand(1)
        assert before.generators.changed() == ["random", "numpy.random", "torch"]
        assert before.settings.changed() == ["torch.set_grad_enabled", "torch.set_default_dtype"]
        1 / 0  # noqa: B018
    assert before.settings.changed() == before.generators.changed() == []


# ---- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    in_folder(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_command_says_one_line_per_check_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "check-method", "mine.py:own_loop")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err, lines[-1]) == (0, "", "mine.py:own_loop: nothing wrong")
    assert len(lines) == 16 and {line.split()[0] for line in lines[:-1]} == {"ok", "note"}


@pytest.mark.usefixtures("folder")
def test_the_command_ends_with_1_where_a_check_fails(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "check-method", "mine.py:breaks")
    assert ended.code == 1 and "FAIL  runs" in ended.out and "ValueError: no such thing (mine.py:" in ended.out
    assert ended.out.splitlines()[-1] == "mine.py:breaks: 1 of 5 checks failed"
    ended = run(capsys, "check-method", "gone.py:tune")
    assert (ended.code, ended.out.count("FAIL")) == (1, 1)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "METHOD"),
        (["nothing"], "unknown method 'nothing'"),
        (["full", "--method-arg", "rank"], "--method-arg='rank': must be key=value"),
        (["full", "--device", "tpu"], "--device=tpu: unknown device"),
    ],
)
def test_mistakes_on_the_command_line_end_with_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "check-method", *argv)
    assert (ended.code, ended.out) == (2, "") and said in ended.err and ended.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_command_passes_arguments_on(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    folder.joinpath("with.py").write_text(
        "import copy\ndef tune(model, task, config, *, break_it=False):\n"
        "    return None if break_it else copy.deepcopy(model)\n"
    )
    assert run(capsys, "check-method", "with.py:tune").code == 0
    assert run(capsys, "check-method", "with.py:tune", "--method-arg", "break_it=true").code == 1
