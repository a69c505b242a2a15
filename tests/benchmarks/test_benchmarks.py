"""What the benchmarks' figures rest on: counted operations, fitted exponents, the table; and the GPU figures' code on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from capbench.configs import GptConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # as for a script that is run there

import gpu  # noqa: E402
import growth  # noqa: E402
import table  # noqa: E402
from speed import flops, gpu_figures, tables  # noqa: E402
from speed.fitting import exponent  # noqa: E402
from speed.rounds import quartiles, ratios  # noqa: E402
from speed.rows import row  # noqa: E402

MACHINE = {
    "cpu": "Some CPU",
    "cores": 2,
    "python": "3.11.7",
    "torch": "2.13.0",
    "date": "2026-11-23",
    "commit": "abc1234",
}


def test_operations_of_a_step_by_hand() -> None:
    config = GptConfig(vocab_size=5, seq_len=3, d_model=2, n_blocks=1, n_heads=1)
    weights = 2 * 6 + 2 * 2 + 2 * 8 + 8 * 2 + 2 * 5  # qkv, out, both of the MLP, unembedding
    per_string = 2 * weights * 3
    pairs = 6  # of 3 positions: 1 + 2 + 3
    attention = 2 * (2 * 2 * pairs)  # queries with keys, probabilities with values, 2 dimensions each
    assert flops.training_step(config, 7, 3) == 3 * 7 * (per_string + attention)
    assert flops.training_step(config, 7, 3, causal=False) == 3 * 7 * (per_string + 2 * (2 * 2 * 9))


def test_a_blocks_products_are_those_that_are_counted() -> None:
    """Without unembedding and attention, both ways of counting agree."""
    config = GptConfig(vocab_size=0, seq_len=9, d_model=8, n_blocks=1, n_heads=2)
    of_weights = sum(flops.product(*shape) for shape in flops.shapes(config, 4, 9))
    attention = 3 * 4 * 4 * 8 * 9 * 10 / 2
    assert of_weights == flops.training_step(config, 4, 9) - attention


@given(st.floats(-1, 3), st.floats(1e-3, 1e3))
@example(2.220446049250313e-16, 1.0)  # flat but for rounding
def test_a_power_law_has_its_exponent(power: float, scale: float) -> None:
    sizes = [3, 6, 12, 24]
    found = exponent(sizes, [[scale * n**power] * 2 for n in sizes])
    assert found.value == pytest.approx(power, abs=1e-6) and found.error == pytest.approx(0, abs=1e-6)


def test_what_scatters_has_an_error_and_what_has_no_logarithm_is_refused() -> None:
    assert exponent([1, 2, 4], [[1, 1.5], [2, 2.5], [4, 5]]).error > 0.01
    for sizes, costs in (([1, 2], [[1.0], [2.0]]), ([1, 2, 4], [[1.0], [0.0], [2.0]])):
        with pytest.raises(ValueError, match=r"three sizes|no logarithm"):
            exponent(sizes, costs)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is twice as slow in one round, for both, changes no ratio."""
    assert quartiles(ratios([2, 4, 2], [1, 2, 1], 10)) == (20, 20, 20)
    assert row("p", "w", [1, 2, 3, 4], "ms")["value"] == 2.5


def rows(*values: float) -> list[dict[str, Any]]:
    return [row("training step", "small: a step", list(values), "ms", aim="<= 40 ms")]


def by_pytest(*values: float) -> dict[str, Any]:
    """As pytest-benchmark writes it, with names that must not get out."""
    info = {"node": "secret-host", "capbench": MACHINE}
    stats = {"data": [1.0], "mean": 1.0}
    extra = [
        {"name": "test_x", "extra_info": {"rows": rows(*values)}, "stats": stats},
        {"name": "test_y", "extra_info": {}},
    ]
    return {"machine_info": info, "commit_info": {"project": "secret"}, "benchmarks": extra}


def saved(folder: Path, content: object, name: str = "speed.json") -> str:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder / name)


def test_the_table_names_the_machine_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main([saved(tmp_path, by_pytest(30, 40, 50))]) == 0
    out = capsys.readouterr().out
    assert "Some CPU, 2 cores; Python 3.11.7, torch 2.13.0; 2026-11-23, commit abc1234:" in out
    cells = [cell.strip() for line in out.splitlines() if "a step" in line for cell in line.strip("|").split("|")]
    assert cells == ["training step", "small: a step", "40 ms", "35 to 45", "<= 40 ms"]
    assert tables.NO_GPU in out


def test_gpu_figures_are_named_after_their_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"machine": {**MACHINE, "gpu": "Some GPU"}, "rows": rows(1), "missing": {"data": "took longer than 5 s"}}
    assert table.main([saved(tmp_path, by_pytest(2)), saved(tmp_path, found, "gpu.json")]) == 0
    out = capsys.readouterr().out
    assert "Some GPU; Some CPU" in out and "Not measured: data (took longer than 5 s)." in out
    assert tables.NO_GPU not in out


def test_what_was_fitted_has_a_standard_error_and_no_quartiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By growth.py, but for the measuring; the commit is the one it began on."""
    now = dict(MACHINE)
    of_steps = {"what": "steps", "sizes": [1, 2, 4], "seconds": [[1.0], [2.0], [4.5]], "value": 1.085, "error": 0.0494}
    monkeypatch.setattr(growth, "machine", lambda: dict(now))
    monkeypatch.setattr(growth, "measure", lambda *_, **__: now.update(commit="later") or [of_steps])
    assert growth.main([str(tmp_path / "growth.json")]) == 0
    capsys.readouterr()
    measured = {"machine": {**MACHINE, "cores": 4}, "rows": rows(30, 40, 50)}
    assert table.main([str(tmp_path / "growth.json"), saved(tmp_path, measured)]) == 0
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    at = lines.index(["growth", "exponent of the cost of steps", "1.08", "0.049", ""])
    assert lines[at - 2] == ["part", "what", "fitted", "standard error", "aim"]
    assert lines[at - 4] == ["Some CPU, 2 cores; Python 3.11.7, torch 2.13.0; 2026-11-23, commit abc1234:"]
    assert sum("quartiles" in line for line in lines) == sum("standard error" in line for line in lines) == 1


def test_only_what_is_between_the_markers_is_replaced(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nbehind\n")
    speed = saved(tmp_path, by_pytest(40))
    for _ in range(2):  # the second time it changes nothing
        assert table.main(["--write", str(readme), speed]) == 0
        first, rest = readme.read_text().split(f"\n{tables.BEGIN}\n")
        assert first == "before" and "old" not in rest and rest.endswith(f"{tables.END}\nbehind\n") and "40 ms" in rest


@pytest.mark.parametrize("text", ["", tables.BEGIN, f"{tables.END} {tables.BEGIN}", 2 * f"{tables.BEGIN}{tables.END}"])
def test_a_readme_without_a_place_for_it_stays_as_it_is(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    assert table.main(["--write", str(readme), saved(tmp_path, by_pytest(40))]) == 2
    assert readme.read_text() == text and "no place for the table" in capsys.readouterr().err


def test_what_is_committed_holds_no_names_and_makes_the_same_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speed, kept = saved(tmp_path, by_pytest(40)), tmp_path / "kept"
    assert table.main(["--reduce", str(kept), speed]) == 0
    assert "secret" not in (kept / "speed.json").read_text()
    table.main([speed])
    table.main([str(kept / "speed.json")])
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :] != ""


@pytest.mark.parametrize("content", ["{", "[]", {}, {"benchmarks": [{}], "machine_info": {}}, {"benchmarks": []}])
def test_a_file_of_another_kind_is_refused(content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main([saved(tmp_path, content, "odd.json")]) == 2
    err = capsys.readouterr().err
    assert "odd.json" in err and err.count("\n") == 1


def test_the_committed_figures_hold_no_paths_and_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((BENCHMARKS / "results").glob("*.json"))
    assert files and table.main(list(map(str, files))) == 0
    assert not any(word in file.read_text() for file in files for word in ("/home", "/root", "/tmp", "/work", '"node"'))


def test_without_a_gpu_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for options, why in (([], "no CUDA device"), (["--device", "cpu"], "add --quick")):
        assert gpu.main([str(tmp_path / "gpu.json"), *options]) == 2
        err = capsys.readouterr().err
        assert why in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_gpu_figure_is_measured_where_sizes_are_tiny(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    out = tmp_path / "gpu.json"
    assert gpu.main([str(out), "--device", "cpu", "--quick"]) == 0
    found = json.loads(out.read_text())
    assert found["missing"] == {} and all(line["value"] >= 0 for line in found["rows"])
    told = " ".join(line["what"] for line in found["rows"])
    for what in (
        "bf16: a step",
        "Hugging Face",
        "2 stacked, float32, without CUDA graphs",
        "accuracy",
        "batches drawn",
        "probing",
    ):
        assert what in told
    (same,) = (line["value"] for line in found["rows"] if "stacked against single" in line["what"])
    assert same < 0.1  # per cent


def test_all_gpu_figures_together_take_less_than_eight_minutes() -> None:
    assert sum(limit for _, limit in gpu_figures.FIGURES.values()) <= gpu.WHOLE < 8 * 60


def test_a_part_that_fails_or_takes_too_long_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is a process of its own; here they are other programs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    script = tmp_path / "part.py"
    script.write_text(
        "import json, sys, time\n"
        "out, part = sys.argv[1], sys.argv[-1]\n"
        "if part == 'breaks': raise ValueError('no such thing')\n"
        "found = json.load(open(out)); found['rows'].append({'what': part, 'value': 1, 'unit': ''})\n"
        "json.dump(found, open(out, 'w'))\n"
        "if part == 'hangs': time.sleep(60)\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(script))
    monkeypatch.setattr(gpu, "FIGURES", {"breaks": (None, 20), "hangs": (None, 1), "works": (None, 20)})
    assert gpu.main([str(tmp_path / "gpu.json")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["missing"] == {"breaks": "ValueError: no such thing", "hangs": "took longer than 1 s"}
    assert [line["what"] for line in found["rows"]] == ["hangs", "works"]
