"""Example results with realistic numbers: what the tests of the report draw, and a page to look at.

To look at it: `python tests/report_example.py DIRECTORY` writes the report below DIRECTORY.
"""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capbench.results import (
    Capability,
    CapabilityState,
    Collateral,
    CollateralState,
    Control,
    Curve,
    Evidence,
    FinetunedState,
    Grid,
    Measurement,
    Record,
    Relabelling,
    RelabellingState,
    Results,
    RunInfo,
    Status,
    Trial,
    Verdict,
)

SEEDS = (0, 1, 2)
HOW = "moderated t, 3 seeds, 10.1 df; prior of accuracies, 8.1 df, 40 conditions"
STEPS = tuple(float(x) for x in range(0, 2001, 100))
PRUNED = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 200.0)
BLOCKS = tuple(float(x) for x in range(7))
TOKENS = ("$", "a", "b", "a", "#")
REVIVED = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 2000.0)
Shape = Callable[[float], float]


def example() -> Results:
    """Eleven claims on three models: eight supported, one refuted, one inconclusive, one invalid. One model has maps."""
    low, high, lrs = "prior=low", "prior=high", ("small", "medium")
    wrapped, amplified = _case(low, "medium"), _case(high, "medium")
    yes, no, maybe = Status.SUPPORTED, Status.REFUTED, Status.INCONCLUSIVE
    records = [
        _record("base.validity", low, yes, (0.99, 0.98, 0.99), 0.9, _training(0.99), "Sec. 4"),
        _record("base.validity", high, yes, (0.99, 1.0, 0.99), 0.9, _training(1.0), "Sec. 4"),
        _record("relevance.shortcut", wrapped, yes, (0.81, 0.77, 0.84), 0.5, _tuning(0.12, 1) + _maps(), "Fig. 5"),
        _record("relevance.amplification", amplified, no, (0.55, 0.61, 0.52), 0.8, _tuning(0.58, 2), "Fig. 6"),
    ]
    for lr, status, gains in zip(lrs, (yes, maybe), ((0.42, 0.36, 0.47), (0.22, 0.41, 0.31)), strict=True):
        read = _pruning(gains) + (_maps() if lr == "medium" else ())  # the model that relevance.shortcut reads too
        records.append(_record("wrapper.pruning", _case(low, lr), status, gains, 0.3, read, "Fig. 7, 79-89"))
    for lr in lrs:
        gains = (0.61, 0.58, 0.66)
        records.append(_record("wrapper.probing", _case(low, lr), yes, gains, 0.3, _probing(), "Fig. 8"))
    for lr in lrs:
        gains = (0.11, 0.08, 0.14)
        records.append(_record("revival.efficiency", _case(low, lr), yes, gains, 0.5, _revival(), "Fig. 9", "<="))
    records.append(_invalid(_case(high, "small")))
    return Results(run=_run(), records=tuple(records), capabilities=_capabilities())


def record(**changes: Any) -> Record:
    """A small record without measurements, for a test to change."""
    verdict = Verdict(
        status=Status.SUPPORTED, effect=0.4, ci=(0.35, 0.45), threshold=0.3, direction=">=", margin=0.1, n_seeds=3
    )
    fields = {"claim": "wrapper.pruning", "case": "prior=low", "statement": "Pruning restores.", "source": "Fig. 7"}
    fields |= {"nodeid": "suites/test_wrapper.py::test", "model": "gpt", "task": "counter", "method": "full"}
    return Record(**{**fields, "protocol": {"prior": "low"}, "verdict": verdict, "seeds": SEEDS, **changes})


def trial(**changes: Any) -> Trial:
    """A supported variant, for a test to change."""
    spec = {
        "type": "Variant",
        "prior": 0.001,
        "task": {"type": "TaskSpec", "o_ft": "c", "grammar": {"s": [["a", 0.5]]}},
    }
    fields: dict[str, Any] = {"id": "00000001", "words": "o_ft=c, window 8", "variant": spec, "effect": 0.02}
    return Trial(**{**fields, "status": Status.SUPPORTED, "margin": 0.18, **changes})


def tried(*trials: Trial, **changes: Any) -> Record:
    """A claim on variants: these, or thirteen with a simpler one: 9 supported, 2 refuted, 2 invalid."""
    drawn = [trial(id=f"0000000{i}", words=f"window {4 + i}", effect=i / 50, margin=0.2 - i / 50) for i in range(9)]
    grammar = "grammar (s -> a b X1*16 0.5 | c X2*4 0.5; X1 -> a 0.2 | b 0.3 | c 0.5; X2 -> a 0.9 | # 0.1)"
    far = f"family Index, k = 3, o_ft=d, relation=parity, q=-2, n_blocks=4, prior=0.002, texts of 24, {grammar}"
    why = "control failed: the base model is right on 61 % of the evaluation strings, and 95 % are needed"
    no, bad = Status.REFUTED, {"status": Status.INVALID, "effect": None, "margin": None, "reason": why}
    high = "accuracy at C_Te 0 0.64 <= 0.2: refuted (margin -0.44)"
    drawn += [trial(id="aaaaaaaa", words=far, status=no, effect=0.64, margin=-0.44, reason=high)]
    drawn += [trial(id="bbbbbbbb", words="q=3, d_model=96", status=no, effect=0.31, margin=-0.11)]
    drawn += [trial(id="cccccccc", words=far, **bad), trial(id="dddddddd", words="texts of 32", **bad)]
    end = {"shrunk_from": "aaaaaaaa", "simplest": True}
    drawn += [trial(id="eeeeeeee", words="relation=parity", status=no, effect=0.4, margin=-0.2, **end)]
    verdict = Verdict(
        status=Status.INCONCLUSIVE, effect=9 / 11, ci=(0.523, 0.949), threshold=0.8, direction=">=", n_seeds=1,
        margin=9 / 11 - 0.8, what="share of variants",
        reason="9 supported, 2 refuted, 0 inconclusive, 2 invalid: the interval [0.523, 0.949] straddles the threshold 0.8",
    )  # fmt: skip
    fields = {"claim": "variants.shortcut", "case": "", "nodeid": "suites/test_variants.py::test_shortcut"}
    fields |= {"model": "variants", "task": "pcfg variants", "protocol": {"variants": 13}, "seeds": (0,)}
    return record(**{**fields, "verdict": verdict, "trials": trials or tuple(drawn), **changes})


def results(*records: Record, capabilities: tuple[Capability, ...] = ()) -> Results:
    """A run of just these records."""
    return Results(run=_run(), records=records, capabilities=capabilities)


def measured(xs: Sequence[float], ys: Sequence[float | None], seed: int, **changes: Any) -> Measurement:
    """One curve of the pruning figure."""
    curve = Curve(x=tuple(xs), y=tuple(ys), x_label="pruned neurons", y_label="accuracy")
    fields: dict[str, Any] = {"name": "gain", "value": None, "unit": "accuracy", "n": 512, "group": "pruning"}
    return Measurement(**{**fields, "series": "O_PT, pruned", "seed": seed, "curve": curve, **changes})


def mapped(values: Sequence[Sequence[float]], seed: int = 0, **changes: Any) -> Measurement:
    """One attention map, or another map whose rows are numbered units."""
    rows = TOKENS[: len(values)] if len(values) <= len(TOKENS) else tuple(map(str, range(len(values))))
    grid = Grid(
        values=tuple(map(tuple, values)), rows=rows, columns=TOKENS[: len(values[0])], row_label="query",
        column_label="key",
    )  # fmt: skip
    fields: dict[str, Any] = {"name": "attention.map", "value": None, "unit": "attention", "n": 1, "group": "attention"}
    return Measurement(**{**fields, "series": "compiled, block 1", "seed": seed, "grid": grid, **changes})


def _case(prior: str, lr: str) -> str:
    return f"{prior},c_tr=1,lr={lr}"


def _run() -> RunInfo:
    return RunInfo(
        run_id="20250301T101500-small-a1b2c3",
        capbench="0.1.0",
        git_commit="0123456789abcdef0123456789abcdef01234567",
        python="3.11.9",
        torch="2.5.1",
        device="cpu (2 cores)",
        threads=2,
        scale="small",
        seeds=SEEDS,
        methods=("full",),
        command="pytest suites/ --capbench-report=reports/ --capbench-scale=small",
        start="2025-03-01T10:15:00Z",
        seconds=4987.4,
    )


def _record(
    claim: str,
    case: str,
    status: Status,
    per_seed: tuple[float, ...],
    limit: float,
    measurements: tuple[Measurement, ...],
    source: str,
    direction: str = ">=",
) -> Record:
    effect = sum(per_seed) / len(per_seed)
    sign = 1 if direction == ">=" else -1
    reason = {
        Status.REFUTED: f"accuracy without the correlation is {effect:.2f}, and the claim needs 0.80",
        Status.INCONCLUSIVE: f"the interval straddles {limit}: three seeds cannot decide it",
    }.get(status, "")
    verdict = Verdict(
        status=status,
        effect=effect,
        ci=(min(per_seed), max(per_seed)),
        threshold=limit,
        direction=direction,
        margin=sign * (effect - limit),
        n_seeds=len(per_seed),
        per_seed=per_seed,
        what=f"the quantity that {claim} compares, in words",
        reason=reason,
        how=HOW,
    )
    return record(
        claim=claim,
        case=case,
        statement=f"What {claim} says, as one sentence: under {case} the effect is {direction} {limit}.",
        source=f"Jain et al. 2024, {source}",
        nodeid=f"suites/test_{claim.split('.')[0]}.py::test_{claim.split('.')[1]}[{case}]",
        protocol=dict(part.split("=") for part in case.split(",")) | {"steps": 2000},
        verdict=verdict,
        controls=(
            Control(name="base model solves the evaluation strings", value=0.992, expected=">= 0.90", passed=True),
            Control(name="random rows raise O_PT", value=0.013, expected="<= 0.05", passed=True),
        ),
        measurements=measurements,
        artefacts={f"fine-tuned, seed {seed}": f"{seed + 1}f3c9a77be12d4085a6b" * 3 for seed in SEEDS},
        seconds=213.7,
    )


def _invalid(case: str) -> Record:
    reason = "control failed: the base model solves 61 % of the evaluation strings, and 90 % are needed"
    verdict = Verdict(
        status=Status.INVALID, effect=None, ci=None, threshold=0.5, direction="<=", margin=None, n_seeds=3,
        per_seed=(None, 0.4, None), reason=reason,
    )  # fmt: skip
    control = Control(name="base model solves the evaluation strings", value=0.61, expected=">= 0.90", passed=False)
    never = Measurement(
        name="steps to revive", value=None, unit="steps", n=512, seed=0, group="revival", note="never came"
    )
    return record(claim="revival.efficiency", case=case, verdict=verdict, controls=(control,), measurements=(never,))


def _training(top: float) -> tuple[Measurement, ...]:
    series: dict[str, Shape] = {"O_PT": lambda x: top * _rise(x, 500), "O_FT, with correlation": lambda x: 0.1}
    return _curves("fine-tuning", series, STEPS, "pretraining steps", "accuracy")


def _tuning(end: float, salt: int) -> tuple[Measurement, ...]:
    series: dict[str, Shape] = {
        "O_PT": lambda x: 0.97 * (1 - _rise(x, 300)) + 0.02,
        "O_FT, with correlation": lambda x: 0.98 * _rise(x, 250),
        "O_FT, without correlation": lambda x: 0.05 + (end - 0.05) * _rise(x, 600),
    }
    return _curves("fine-tuning", series, STEPS, "fine-tuning steps", "accuracy", salt=salt)


def _pruning(gains: tuple[float, ...]) -> tuple[Measurement, ...]:
    top = sum(gains) / len(gains)
    series: dict[str, Shape] = {
        "O_PT, pruned": lambda k: 0.05 + top * _rise(k, 6) * math.exp(-k / 400),
        "O_PT, random rows": lambda k: 0.05 + 0.01 * _rise(k, 20),
        "O_FT, pruned": lambda k: 0.97 * math.exp(-k / 12),
        "O_FT, random rows": lambda k: 0.97 * math.exp(-k / 300),
    }
    return _curves("pruning", series, PRUNED, "pruned neurons", "accuracy", value="gain")


def _probing() -> tuple[Measurement, ...]:
    series: dict[str, Shape] = {
        "fine-tuned": lambda b: 0.15 + 0.75 * _rise(b, 1.6),
        "never taught": lambda b: 0.15 + 0.08 * _rise(b, 2),
        "shuffled labels": lambda b: 0.12,
    }
    bits = {name: (lambda b, f=f: 4.1 - 3.6 * f(b)) for name, f in series.items()}
    accuracy = _curves("probing", series, BLOCKS, "block (0: embedding)", "probe accuracy")
    return accuracy + _curves("probing", bits, BLOCKS, "block (0: embedding)", "bits/sample", unit="bits/sample")


def _maps() -> tuple[Measurement, ...]:
    """Attention and activations of two blocks, before and after, on every seed."""
    found = []
    for block in (1, 2):
        for model, sharp in (("compiled", 6.0), ("fine-tuned", 2.0)):
            for seed in SEEDS:
                rng = random.Random(f"maps {block} {model} {seed}")
                size, series = range(len(TOKENS)), f"{model}, block {block}"
                raw = [[math.exp(sharp * (j == (i + block) % len(TOKENS)) + rng.random()) for j in size] for i in size]
                found.append(mapped([[x / sum(row) for x in row] for row in raw], seed, series=series))
                units = [[rng.uniform(-1, 1) for _ in size] for _ in range(6)]
                found.append(mapped(units, seed, series=series, group="activations", name="activation.map", unit=""))
    return tuple(found)


def _revival() -> tuple[Measurement, ...]:
    series: dict[str, Shape] = {
        "reFT, lr=medium": lambda x: 0.05 + 0.93 * _rise(x, 40),
        "reFT, lr=small": lambda x: 0.05 + 0.93 * _rise(x, 160),
        "Scr.+FT, lr=medium": lambda x: 0.04 + 0.9 * _rise(x, 1100),
        "Scr.": lambda x: 0.04 + 0.5 * _rise(x, 2500),
    }
    found = _curves("revival", series, REVIVED, "reverse fine-tuning steps", "accuracy on O_PT")
    return tuple(_stopped(m) if m.series == "reFT, lr=medium" and m.seed == 1 else m for m in found)


def _stopped(m: Measurement) -> Measurement:
    """The same curve, stopped early."""
    assert m.curve is not None
    curve = Curve(x=m.curve.x[:7], y=m.curve.y[:7], x_label=m.curve.x_label, y_label=m.curve.y_label)
    return dataclasses.replace(m, curve=curve)


def _curves(
    group: str,
    series: dict[str, Shape],
    xs: tuple[float, ...],
    x_label: str,
    y_label: str,
    *,
    unit: str = "accuracy",
    value: str = "last",
    salt: int = 0,
) -> tuple[Measurement, ...]:
    found = []
    for name, shape in series.items():
        for seed in SEEDS:
            rng = random.Random(f"{group} {name} {seed} {salt}")
            shift = rng.uniform(-0.03, 0.03)
            ys = [shape(x) + shift + rng.uniform(-0.01, 0.01) for x in xs]
            ys = [min(1.0, max(0.0, y)) if unit == "accuracy" else y for y in ys]
            curve = Curve(x=xs, y=tuple(ys), x_label=x_label, y_label=y_label)
            last = Measurement(
                name=value, value=ys[-1], unit=unit, n=512, seed=seed, group=group, series=name, curve=curve
            )
            found.append(last)
    return tuple(found)


def _capabilities() -> tuple[Capability, ...]:
    wrapped, undecided, shortcut = CapabilityState.WRAPPED, CapabilityState.UNDECIDED, FinetunedState.SHORTCUT
    reasons = (
        "pruning, probe and reFT all find it; O_PT behaviour is gone",
        "probe and reFT find it; pruning is unclear",
    )
    never = "reFT could not be judged: the scratch baseline never learned O_PT either"
    kept = Collateral(state=CollateralState.KEPT, worst="Index", value=0.97, per_seed={0: 0.96, 1: 0.98, 2: 0.97})
    damaged = Collateral(
        state=CollateralState.DAMAGED, worst="operand c", value=0.71, per_seed=dict.fromkeys(SEEDS, 0.71)
    )
    outputs = Relabelling(
        state=RelabellingState.SUFFICES, value=0.96, twin=0.23, constant=0.11, per_seed={0: 0.97, 1: 0.95, 2: 0.96}
    )
    cases = [
        ("low", "small", wrapped, shortcut, 120.0, reasons[0], wrapped, kept),
        ("low", "medium", wrapped, shortcut, 180.0, reasons[1], CapabilityState.DELETED, damaged),
        ("high", "medium", undecided, None, None, never, undecided, None),
    ]
    return tuple(
        Capability(
            model="gpt",
            task="counter",
            method="full",
            protocol={"prior": prior, "c_tr": 1.0, "lr": lr},
            verdict=verdict,
            finetuned=finetuned,
            reason=reason,
            per_seed={0: verdict, 1: verdict, 2: last},
            collateral=rest,
            relabelling=outputs if verdict is wrapped else None,
            evidence=(
                Evidence(tool="behaviour", value=0.03, unit="accuracy", reading="absent", rule="O_PT accuracy <= 0.20"),
                Evidence(tool="pruning", value=0.42, unit="accuracy", reading="present", rule="gain >= 0.30"),
                Evidence(tool="probe", value=0.88, unit="accuracy", reading="unclear", rule="gain >= 0.30"),
                Evidence(tool="reFT", value=steps, unit="steps", reading="present" if steps else "unclear",
                         rule="steps to 90 % <= half of Scr.+FT"),
            ),
        )
        for prior, lr, verdict, finetuned, steps, reason, last, rest in cases
    )  # fmt: skip


def _rise(x: float, scale: float) -> float:
    return 1 - math.exp(-x / scale)


if __name__ == "__main__":
    from capbench.report import capability_table, claim_table, variant_table, write

    whole = dataclasses.replace(example(), records=(*example().records, tried()))
    shown = capability_table(whole), claim_table(whole), variant_table(whole), write(whole, Path(sys.argv[1]))
    print(*shown, sep="\n\n")
