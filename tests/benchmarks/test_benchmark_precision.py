"""The benchmark of bfloat16 against float32: the emulation against torch's own autocast, and what two runs come to."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from runs_example import broken, claim, run, verdict
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import GptConfig, TrainConfig
from capbench.models.gpt import Gpt
from capbench.results import Results
from capbench.training import loop as training

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script that is run there

import precision
import table
from speed import emulation
from speed.changes import changes, largest, rows, summary
from speed.emulation import emulated

DOTS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "linear": (F.linear, [(8, 5, 16), (24, 16), (24,)]),
    "matmul": (torch.matmul, [(8, 5, 16), (16, 24)]),
    "@": (lambda a, b: a @ b, [(8, 5, 16), (8, 16, 24)]),
    "baddbmm": (lambda a, b, c: torch.baddbmm(a, b, c, alpha=0.5), [(8, 5, 24), (8, 5, 16), (8, 16, 24)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [(8, 2, 9, 4)] * 3),
    "last query": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), [(8, 2, 1, 4), *[(8, 2, 9, 4)] * 2]),
}


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def away(one: Tensor, other: Tensor) -> float:
    return float((one.detach().double() - other.detach().double()).norm())


@pytest.mark.parametrize("name", DOTS)
def test_a_product_and_its_gradients_are_autocasts(name: str) -> None:
    """Far nearer to autocast than float32 is: sums in another order change the last bit here and there."""
    function, shapes = DOTS[name]
    rng = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=rng).requires_grad_() for shape in shapes]
    found = []
    for way in (nullcontext, autocast, emulated):
        with way():
            result = function(*inputs)
        weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
        found.append((result, *torch.autograd.grad(result, inputs, weights.to(result.dtype))))
    for float32, real, ours in zip(*found, strict=True):
        assert ours.dtype == real.dtype
        assert away(ours, real) < (0.5 if shapes[0][1] == 2 else 0.05) * away(real, float32)


@pytest.mark.parametrize("whole", [True, False], ids=["all positions", "the answer's"])
def test_a_models_gradients_are_as_far_from_float32_as_autocasts_and_nearer_to_these(whole: bool) -> None:
    model = Gpt.initialised(
        GptConfig(vocab_size=11, seq_len=12, d_model=16, n_blocks=1, n_heads=2), torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10 if parameter.dim() > 1 else 1)  # as after training: attention that is not uniform
    tokens = torch.randint(11, (16, 12), generator=torch.Generator().manual_seed(0))

    def gradients(way: Callable[[], Any]) -> Tensor:
        own = copy.deepcopy(model)
        with way():
            logits = own(tokens).flatten(0, 1) if whole else own.answer_logits(tokens, 8)
            loss = F.cross_entropy(logits, tokens.flatten() if whole else tokens[:, 9])
        loss.backward()
        assert logits.dtype == (torch.float32 if way is nullcontext else torch.bfloat16)
        return torch.cat([parameter.grad.flatten() for parameter in own.parameters() if parameter.grad is not None])

    float32, real, ours = gradients(nullcontext), gradients(autocast), gradients(emulated)
    assert away(real, float32) > 1e-3 * float(float32.norm())
    assert away(ours, float32) == pytest.approx(away(real, float32), rel=0.15)
    assert away(ours, real) < 0.7 * away(real, float32)  # with roundings of its own it would be 1.4


def test_an_attention_that_is_not_known_is_autocasts_own() -> None:
    q = torch.randn(2, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, False, False, False]] * 4)
    with emulated():
        ours = F.scaled_dot_product_attention(q, q, q, mask)
    with autocast():
        assert ours.equal(F.scaled_dot_product_attention(q, q, q, mask))


def test_as_a_plugin_it_is_in_bfloat16_trainings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "computing", training.computing)
    emulation.pytest_configure()
    x = torch.ones(2, 2)
    for name in ("float32", "bfloat16"):
        config = TrainConfig(steps=1, batch_size=1, lr=0.1, seed=0, precision=name)
        with training.computing(config):
            assert bool(torch.overrides._get_current_function_mode_stack()) == (name == "bfloat16")
            assert str(F.linear(x, x).dtype) == f"torch.{name}"


# What two runs come to

TRAINED = {"artefacts": {"base/0": "abc"}}


def float32(n: int = 1) -> Results:
    return run(
        claim("kept", [0.6] * n, 0.5, **TRAINED),
        claim("lost", [0.6] * n, 0.5, **TRAINED),
        claim("below", [0.2] * n, 0.5, most=True, **TRAINED),
        broken("invalid", **TRAINED),
        claim("data", [0.6] * n, 0.5, artefacts={}),
        verdict("wrapped"),
        seeds=tuple(range(n)),
    )


def bfloat16(lost: float = 0.3, state: str = "wrapped", n: int = 1) -> Results:
    return run(
        claim("kept", [0.58] * n, 0.5, **TRAINED),
        claim("lost", [lost] * n, 0.5, **TRAINED),
        claim("below", [0.26] * n, 0.5, most=True, **TRAINED),
        broken("invalid", **TRAINED),
        claim("data", [0.6] * n, 0.5, artefacts={}),
        verdict(state),
        seeds=tuple(range(n)),
    )


def test_differences_in_intervals_and_in_margins_by_hand() -> None:
    reference = run(claim("kept", [0.5, 0.7, 0.6], 0.5, **TRAINED), claim("lost", [0.5, 0.9], 0.5, what="another"))
    found = changes(float32(), bfloat16(), reference)
    of = {claim.id.partition("[")[0]: claim for claim in found.claims}
    assert set(of) == {"kept", "lost", "below", "invalid"}  # no model, no precision
    assert of["kept"].in_widths == pytest.approx(0.02 / 0.4968, abs=1e-4) and of["kept"].in_margins == pytest.approx(
        0.2
    )
    assert of["lost"].in_widths is None and of["lost"].in_margins == pytest.approx(3)
    assert not of["lost"].changed  # one seed decides nothing
    assert of["below"].difference == pytest.approx(-0.06) and of["below"].in_margins == pytest.approx(0.2)
    assert of["invalid"].difference is None and not of["invalid"].changed
    assert largest(found.claims, "in_margins") is of["lost"]
    assert "0 of 4 claims, 0 of 1 capability verdicts" in summary(found)[0]
    counts = {line["what"]: (line["value"], line["unit"]) for line in rows(found, "bf16")}
    assert counts["bf16: claims' verdicts that are not float32's"] == (0, "of 4")


def test_intervals_of_the_runs_own_go_before_others() -> None:
    own = run(claim("kept", [0.6, 0.7], 0.5, **TRAINED), seeds=(0, 1))
    other = run(claim("kept", [0.6, 0.9], 0.5, **TRAINED), seeds=(0, 1))
    wide = run(claim("kept", [0.6, 99], 0.5, **TRAINED), seeds=(0, 1))
    assert changes(own, other, wide).claims[0].in_widths == pytest.approx(0.1 / 1.2706, abs=1e-4)


# The command

REFUSED = [
    (["--seeds=0"], "--capbench-seeds=0"),
    (["--device=cuda", "--bfloat16=emulated"], "--bfloat16=emulated is for the CPU"),
    (["--scale=smoke", f"--intervals={precision.INTERVALS}"], "has scale small, this one smoke"),
]


@pytest.mark.parametrize(
    ("other", "code"),
    [(bfloat16(0.6, n=2), 0), (bfloat16(0.3, n=2), 1), (bfloat16(0.6, "deleted", n=2), 1)],
    ids=["same", "claim", "state"],
)
def test_the_exit_code_and_the_file(
    other: Results, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs themselves are put in; that they go side by side through pytest is the only thing not seen here."""
    monkeypatch.setattr(precision, "check", lambda given: None)
    monkeypatch.setattr(precision, "run", lambda given, name: float32(2) if name == "float32" else other)
    out = tmp_path / "precision.json"
    assert precision.main(["--bfloat16=emulated", f"--cache={tmp_path}", f"--out={out}"]) == code
    assert "kept" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["precision"]["bfloat16"] == "bfloat16-emulated" and str(tmp_path) not in out.read_text()
    assert sum(found["precision"]["changed"][key] for key in ("claims", "capabilities")) == code
    assert table.main([str(out)]) == 0
    assert "bfloat16 (emulated), small, 1 seed: claims' verdicts that are not float32's" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "why"), REFUSED, ids=lambda value: value[0] if isinstance(value, list) else None)
def test_a_mistake_is_one_line(
    options: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert precision.main([*options, f"--cache={tmp_path}", f"--out={tmp_path / 'out'}"]) == 2
    err = capsys.readouterr().err
    assert why in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_only_a_run_of_pytest_with_the_emulation_has_it(tmp_path: Path) -> None:
    given = precision._parser().parse_args([f"--cache={tmp_path}", "-k", "relevance"])
    plain, ours = (precision.command(given, name) for name in ("float32", "bfloat16-emulated"))
    assert "speed.emulation" in ours and "speed.emulation" not in plain
    assert "--capbench-precision=bfloat16" in ours and "--capbench-precision=float32" in plain
    assert all("--capbench-jobs=1" in words and "relevance" in words for words in (plain, ours))
    caches = [next(word for word in words if word.startswith("--capbench-cache=")) for words in (plain, ours)]
    assert caches[0] != caches[1]
    suites = [Path(word).name for word in ours if word.endswith(".py")]
    assert "test_relevance.py" in suites and not any("tracr" in name for name in suites)
