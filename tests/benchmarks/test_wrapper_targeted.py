"""The comparison of wrapper-targeted methods: is the effort equal, and is a run told in one row for each model?"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from capbench.methods.specs.registry import find
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.report import load
from capbench.studies.pcfg.factory import counter
from capbench.training.loop import observing

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script that is run there

import wrapper_targeted

KEPT = Path(__file__).parents[2] / "reports" / "reference" / "small-core"
NUMBERS = 4096


@pytest.mark.parametrize("name", ["low_rank", "rows", "rows_elsewhere", "adapter", "adapter_elsewhere"])
def test_about_as_many_numbers_train_for_as_many_steps(name: str) -> None:
    study = counter(scale="small", method=find("full"), device="cpu", precision="float32")
    step = study.finetuned(100, prior="low", c_tr=1, lr="medium")
    model = Gpt.initialised(study.preset.model(study.setting), torch.Generator().manual_seed(0))
    train = step.train.__class__(steps=4, batch_size=4, lr=1e-3, seed=0)
    trained: list[int] = []

    def look(step: int, now: Model) -> bool:
        trained.append(sum(p.numel() for p in now.parameters() if p.requires_grad))
        return False

    with observing(look) as fits:
        tuned = getattr(wrapper_targeted, name)(model, step.task, train)
    assert sum(fit.steps for fit in fits) == train.steps
    if "rows" not in name:  # whose other rows have gradients, too, and stay
        assert trained[-1] == NUMBERS
        return
    before, after = model.state_dict(), tuned.state_dict()
    changed = {n: (before[n] != after[n]).flatten(1).any(1) for n in before if not torch.equal(before[n], after[n])}
    assert sum(int(hit.sum()) for hit in changed.values()) <= wrapper_targeted.ROWS
    numbers = sum(int(hit.sum()) * before[n].shape[1] for n, hit in changed.items())
    assert NUMBERS / 2 < numbers < 2 * NUMBERS


def test_every_model_of_a_run_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert wrapper_targeted.main(["table", str(KEPT)]) == 0
    rows = capsys.readouterr().out.strip().splitlines()
    kept = load(KEPT)
    assert len(rows) == 2 + len(kept.capabilities)
    c_trs = [float(row.split("|")[2]) for row in rows[2:]]
    assert c_trs == sorted(c_trs, reverse=True)
    assert sorted(str(c.verdict) for c in kept.capabilities) == sorted(row.split("|")[7].split()[0] for row in rows[2:])
    assert wrapper_targeted.main(["table", "nowhere"]) == 2 and "nowhere" in capsys.readouterr().err
    assert wrapper_targeted.main(["table", str(KEPT.parent / "language")]) == 2
    assert "no claim `verdict` on a model with a C_Tr" in capsys.readouterr().err


def test_what_a_place_gains_over_elsewhere_is_paired_by_seed() -> None:
    """Seeds share a base model: both are high on the same ones. One that is missing elsewhere does not count here."""
    kept = load(KEPT)
    first = next(c for c in kept.capabilities if "c_tr" in c.protocol)
    record = next(
        r
        for r in kept.records
        if r.claim == "verdict" and all(r.protocol.get(k) == v for k, v in first.protocol.items())
    )

    def of(method: str, gain: float, missing: int = -1) -> tuple[Any, Any]:
        changed = []
        for m in record.measurements:
            value = None if m.seed == missing else 0.2 + 0.2 * m.seed + gain
            changed.append(dataclasses.replace(m, value=value) if m.name == "tuned.O_FT.c_te0" else m)
        return (
            dataclasses.replace(first, method=method),
            dataclasses.replace(record, method=method, measurements=tuple(changed)),
        )

    pairs = [of("wrapper_targeted.py:rows", 0.1), of("wrapper_targeted.py:rows_elsewhere", 0.0, missing=0)]
    run = dataclasses.replace(kept, capabilities=tuple(c for c, _ in pairs), records=tuple(r for _, r in pairs))
    last = wrapper_targeted.shown(run).splitlines()[-1].split("|")[1:-1]
    assert last[0].strip() == "rows - elsewhere" and last[3].strip().startswith("0.10 ")


def test_of_several_best_rates_the_lowest_is_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = {"rows": {1: 0.2, 3: 0.9, 10: 0.9, 30: 0.1}, "surgery": {1: 0.2, 3: 0.3, 10: 0.4, 30: 0.5}}
    monkeypatch.setattr(wrapper_targeted, "FACTORS", (1, 3, 10, 30))
    monkeypatch.setattr(wrapper_targeted, "LR_FACTOR", dict.fromkeys(learned, 1.0))
    monkeypatch.setattr(wrapper_targeted, "_learned", lambda _, scale, seed, name, factor: learned[name][factor])
    assert wrapper_targeted.main(["rates"]) == 0
    rows = [row.split("|")[1:-1] for row in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0].strip(), float(row[-1])) for row in rows] == [("rows", 3.0), ("surgery", 30.0)]
