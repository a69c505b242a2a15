"""The results of a run: Measurement, Verdict, Record, Capability, Run. Standard library only, so reports need no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 10
# Schema 1 had no grids; 1 and 2 no expectations and no evidence per seed; 1 to 3 no variants; 1 to 4 no user-defined task;
# 1 to 5 neither studies nor what was not calibrated; 1 to 6 no warnings; 1 to 7 neither how an interval was found, nor states per
# seed, nor collateral damage, nor bounds (a censored revival stood there as a plain value); 1 to 8 no relabelling; 1 to 9 no
# passages. Otherwise they are the same.
READABLE = (1, 2, 3, 4, 5, 6, 7, 8, 9, SCHEMA)


# Entries of a protocol that are not part of a case's name: the numbers behind its names, and how they were computed.
DERIVED = frozenset({"eta", "steps", "pretrain_steps", "precision"})


class Status(StrEnum):
    """The four outcomes of a claim; only `supported` is a pass."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class CapabilityState(StrEnum):
    """What fine-tuning did to the pretraining capability. destroyed: it went, and everything else with it."""

    INTACT = "intact"
    WRAPPED = "wrapped"
    DELETED = "deleted"
    DESTROYED = "destroyed"
    UNDECIDED = "undecided"


class CollateralState(StrEnum):
    """What fine-tuning did to the other families and operands that the base model knew, at worst."""

    KEPT = "kept"
    DAMAGED = "damaged"
    LOST = "lost"


class RelabellingState(StrEnum):
    """What a fixed relabelling of a model's answers gives back of the capability.

    suffices: what would count as behaviour kept, and far more than of a model that never had it. nearly suffices: less, but still
    far more than of such a model. follows from the task: what would count as kept, and hardly more than of such a model. falls
    short: neither.
    """

    SUFFICES = "suffices"
    MOSTLY = "nearly suffices"
    FOLLOWS = "follows from the task"
    FALLS_SHORT = "falls short"
    DIFFERS = "differs by seed"


class FinetunedState(StrEnum):
    """How the fine-tuning task itself was learned."""

    AMPLIFIED = "amplified"
    SHORTCUT = "shortcut"
    LEARNED = "learned"
    NOT_LEARNED = "not learned"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure. `x` and `y` have equal lengths; `y` is None where nothing was measured."""

    x: tuple[float, ...]
    y: tuple[float | None, ...]
    x_label: str
    y_label: str

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"a curve needs equally many x and y values, got {len(self.x)} and {len(self.y)}")
        _require_finite("curve", *self.x, *self.y)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One heat map: values[i][j] belongs to rows[i] and columns[j].

    Labels are mostly tokens ('$', 'a', '#') and may repeat; `row_label` and `column_label` are the axis titles.
    """

    values: tuple[tuple[float, ...], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_label: str
    column_label: str

    def __post_init__(self) -> None:
        if not self.rows or not self.columns:
            raise ValueError(f"a grid needs rows and columns, got {len(self.rows)} and {len(self.columns)}")
        if len(self.values) != len(self.rows):
            raise ValueError(
                f"a grid needs a label per row, got {len(self.rows)} for {len(self.values)} rows of values"
            )
        for i, (label, row) in enumerate(zip(self.rows, self.values, strict=True)):
            where = f"row {i} ({label!r}) of a grid"
            if len(row) != len(self.columns):
                raise ValueError(f"{where} needs a value per column, got {len(row)} for {len(self.columns)} columns")
            for j, value in enumerate(row):
                if value is None or not math.isfinite(value):
                    raise ValueError(f"{where} must hold finite numbers, got {value!r} in column {j}")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What a model wrote, and what it was asked. marked: pieces of the text to be seen at once, as (start, end) in characters."""

    prompt: str
    text: str
    marked: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        ends = [0, *(end for piece in self.marked for end in piece), len(self.text)]
        if ends != sorted(ends):
            raise ValueError(
                f"marked pieces must follow each other in a text of {len(self.text)} characters, got {self.marked}"
            )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number measured on one model, or one picture of it: at most one of curve, grid and passage.

    value: None if the quantity does not exist (a revival that never happened); never a placeholder such as 0.0.
    bound: '>=' or '<=' where only a bound is known, which is then the value (a time that was censored); '' for a plain value.
    unit:  'accuracy' (0..1), 'bits/sample', 'steps', 'neurons', 'ratio', 'retention' …
    n:     number of evaluation strings.
    group: the figure it belongs to: 'fine-tuning', 'pruning', 'probing', 'revival', 'accuracy', 'attention', 'stories' …
    series: the line, map or column within the figure ('O_PT, pruned', 'random rows', 'compiled, block 1', 'after reFT' …).
    """

    name: str
    value: float | None
    unit: str
    n: int
    seed: int
    group: str = ""
    series: str = ""
    curve: Curve | None = None
    grid: Grid | None = None
    note: str = ""
    bound: str = ""
    passage: Passage | None = None

    def __post_init__(self) -> None:
        _require_finite(self.name, self.value)
        _require_bound(self.name, self.value, self.bound)
        if sum(picture is not None for picture in (self.curve, self.grid, self.passage)) > 1:
            raise ValueError(f"{self.name or 'a measurement'} must have one of curve, grid and passage, not several")

    @property
    def is_number(self) -> bool:
        """Whether this is a plain number, not a picture (a picture may have a summary value)."""
        return self.curve is None and self.grid is None and self.passage is None


@dataclass(frozen=True, kw_only=True)
class Control:
    """A check that a measurement can distinguish presence from absence: the expected and the observed value.

    value: the mean over seeds, ci its interval (before schema 8: the worst seed, without one). undecided: neither passed nor
    failed, as the interval straddles a limit.
    """

    name: str
    value: float | None
    expected: str
    passed: bool
    ci: tuple[float, float] | None = None
    undecided: bool = False

    def __post_init__(self) -> None:
        _require_finite(self.name, self.value, *(self.ci or ()))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a claim. margin: signed distance of the effect to the threshold, positive if the claim holds.

    ci: the 95 % interval of the effect. how: how it was found, in words. provisional: from a single seed, so that it rests on the
    prior alone. p_supported, p_refuted: one-sided p-values of all effects that contradict the claim, and of all that fit it; the
    claim is supported or refuted where its own is at most alpha. None: there is no spread to tell from.
    """

    status: Status
    effect: float | None
    ci: tuple[float, float] | None
    threshold: float | None
    direction: str  # '>=' or '<='
    margin: float | None
    n_seeds: int
    per_seed: tuple[float | None, ...] = ()
    what: str = ""  # the quantity compared, in words
    reason: str = ""
    how: str = ""
    provisional: bool = False
    p_supported: float | None = None
    p_refuted: float | None = None
    alpha: float = 0.025

    def __post_init__(self) -> None:
        _require_finite(self.what, self.effect, self.threshold, self.margin, *(self.ci or ()), *self.per_seed)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A claim tried on one variant of its task.

    id: of the variant; words: how it differs from the simplest; variant: the whole variant, as plain values.
    effect, margin: of the deciding condition. shrunk_from: the variant that this one simplifies, '' if it was drawn.
    simplest: whether the search for the simplest refuted variant ended here.
    """

    id: str
    words: str
    variant: Mapping[str, Any]
    status: Status
    effect: float | None
    margin: float | None
    reason: str = ""
    shrunk_from: str = ""
    simplest: bool = False

    def __post_init__(self) -> None:
        _require_finite(f"variant {self.id}", self.effect, self.margin)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One test of one claim, with everything that went into its verdict.

    claim: dotted id ('wrapper.pruning'); case: its parameters ('prior=low,c_tr=1,lr=small').
    protocol: prior, c_tr, lr, steps … of the judged model; artefacts: store keys by role and seed.
    """

    claim: str
    case: str
    statement: str
    source: str
    nodeid: str
    model: str
    task: str
    method: str
    protocol: Mapping[str, Any]
    verdict: Verdict
    seeds: tuple[int, ...] = ()
    controls: tuple[Control, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    expected: str = (
        ""  # the status the user expects, with the reason, if it differs from the paper's ('refuted: deletes')
    )
    trials: tuple[Trial, ...] = ()  # of a claim tried on variants of its task
    study: str = ""  # the experiment that the claim is about; schemas 1 to 5 did not say

    @property
    def id(self) -> str:
        """Claim and case, as in `wrapper.pruning[prior=low,c_tr=1,lr=small]`."""
        return f"{self.claim}[{self.case}]" if self.case else self.claim


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The reading of one tool for one model; reading: 'present', 'absent', 'unclear' or 'not measured'.

    value: the mean over seeds. Where some are bounds it is a bound too, on every seed's, as `bound` says ('>=' or '<='); None
    where they bound nothing together. per_seed: None where it was not measured or has no value. bounds: the seeds whose value
    is only a bound.
    """

    tool: str
    value: float | None
    unit: str
    reading: str
    rule: str  # the documented threshold
    per_seed: Mapping[int, float | None] = field(default_factory=dict)
    bound: str = ""
    bounds: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_finite(self.tool, self.value, *self.per_seed.values())
        _require_bound(self.tool, self.value, self.bound)
        for seed, bound in self.bounds.items():
            _require_bound(f"{self.tool}, seed {seed}", self.per_seed.get(seed), bound)


@dataclass(frozen=True, kw_only=True)
class Collateral:
    """What became of the other families and operands that the base model knew.

    worst: the one that suffered most; value: its accuracy as a share of the base model's, the mean over seeds; per_seed: the
    worst share on each seed, None where it was not measured.
    """

    state: CollateralState
    worst: str
    value: float | None
    per_seed: Mapping[int, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_finite(self.worst, self.value, *self.per_seed.values())


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """O_PT accuracy after the best fixed relabelling of a model's own answers, fitted and scored on different strings.

    value: of the fine-tuned model; twin: of a never-taught model after the same method; constant: of the commonest answer alone.
    All are means over the seeds in per_seed, which has the fine-tuned model's.
    """

    state: RelabellingState
    value: float
    twin: float
    constant: float
    per_seed: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_finite("relabelling", self.value, self.twin, self.constant, *self.per_seed.values())


@dataclass(frozen=True, kw_only=True)
class Capability:
    """The joint verdict of all tools on one model × task × protocol × method.

    per_seed: the state on each seed, from which the verdict was counted. collateral: None where the base model knew nothing else,
    or where it was not measured. relabelling: None where it was not measured. provisional: from a single seed. uncalibrated: the
    tools with a vote that were read, but never calibrated for this study and scale.
    """

    model: str
    task: str
    method: str
    protocol: Mapping[str, Any]
    verdict: CapabilityState
    finetuned: FinetunedState | None
    evidence: tuple[Evidence, ...]
    reason: str = ""
    study: str = ""
    uncalibrated: tuple[str, ...] = ()
    per_seed: Mapping[int, CapabilityState] = field(default_factory=dict)
    collateral: Collateral | None = None
    relabelling: Relabelling | None = None
    provisional: bool = False

    @property
    def id(self) -> str:
        """Task and case names, as in `pcfg counter a to b[prior=low,c_tr=1,lr=small]`."""
        case = ",".join(f"{k}={v}" for k, v in self.protocol.items() if k not in DERIVED)
        return f"{self.task}[{case}]"


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Where and how a run was made; enough to repeat it.

    task: for a user-defined task, its `id` (part of the records' task) and its `specification` as plain values.
    """

    run_id: str
    capbench: str
    git_commit: str | None
    python: str
    torch: str | None
    device: str
    threads: int
    scale: str
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    command: str
    start: str  # ISO 8601, UTC
    seconds: float
    task: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole run: the content of results.json. warnings: one line for each doubt about models that were not made anew."""

    run: RunInfo
    records: tuple[Record, ...]
    capabilities: tuple[Capability, ...]
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA


def to_json(results: Results) -> str:
    """Serialise; NaN and infinity are refused, as JSON has no such values."""
    return json.dumps(to_dict(results), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_dict(value: Any) -> Any:
    """Dataclasses to plain dicts and lists; a Record's verdict is flattened into it, as in the schema."""
    if isinstance(value, Record):
        out = {k: to_dict(v) for k, v in _fields(value) if k != "verdict"}
        return {"id": value.id, **out, **{k: to_dict(v) for k, v in _fields(value.verdict)}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: to_dict(v) for k, v in _fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_dict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(v) for v in value]
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a result must be a finite number or None, got {value!r}")
    return value


def from_json(text: str) -> Results:
    """Read results.json. Raises ValueError for an unknown schema, naming both versions."""
    raw = json.loads(text, parse_constant=_refuse_constant)
    found = raw.get("schema") if isinstance(raw, dict) else None
    if found not in READABLE:
        raise ValueError(f"results file has schema {found!r}; this capbench reads schemas {READABLE[0]} to {SCHEMA}")
    return Results(
        run=RunInfo(**{**raw["run"], "seeds": tuple(raw["run"]["seeds"]), "methods": tuple(raw["run"]["methods"])}),
        records=tuple(record_from_dict(r) for r in raw["records"]),
        capabilities=tuple(_capability(c) for c in raw["capabilities"]),
        warnings=tuple(raw.get("warnings", ())),
    )


def record_from_dict(raw: Mapping[str, Any]) -> Record:
    """The inverse of `to_dict` for one record (also used to send records between pytest-xdist processes)."""
    names = {f.name for f in dataclasses.fields(Verdict)}
    verdict = {k: raw[k] for k in names & raw.keys()}
    verdict |= {
        "status": Status(raw["status"]),
        "ci": tuple(raw["ci"]) if raw["ci"] else None,
        "per_seed": tuple(raw["per_seed"]),
    }
    rest = {k: v for k, v in raw.items() if k not in names and k != "id"}
    rest |= {
        "verdict": Verdict(**verdict),
        "seeds": tuple(raw["seeds"]),
        "controls": tuple(Control(**{**c, "ci": tuple(c["ci"]) if c.get("ci") else None}) for c in raw["controls"]),
        "measurements": tuple(measurement_from_dict(m) for m in raw["measurements"]),
        "trials": tuple(Trial(**{**t, "status": Status(t["status"])}) for t in raw.get("trials", ())),
    }
    return Record(**rest)


def measurement_from_dict(raw: Mapping[str, Any]) -> Measurement:
    """The inverse of `to_dict` for one measurement."""
    curve, grid, passage = raw["curve"], raw.get("grid"), raw.get("passage")  # schema 1 had no grids
    return Measurement(
        **{
            **raw,
            "curve": Curve(**{**curve, "x": tuple(curve["x"]), "y": tuple(curve["y"])}) if curve else None,
            "grid": _grid(grid) if grid else None,
            "passage": Passage(**{**passage, "marked": tuple(map(tuple, passage["marked"]))}) if passage else None,
        }
    )


def _grid(raw: Mapping[str, Any]) -> Grid:
    values = tuple(tuple(row) for row in raw["values"])
    return Grid(**{**raw, "values": values, "rows": tuple(raw["rows"]), "columns": tuple(raw["columns"])})


def _capability(raw: Mapping[str, Any]) -> Capability:
    return Capability(
        **{
            **raw,
            "verdict": CapabilityState(raw["verdict"]),
            "finetuned": FinetunedState(raw["finetuned"]) if raw["finetuned"] else None,
            "uncalibrated": tuple(raw.get("uncalibrated", ())),
            "per_seed": {int(seed): CapabilityState(state) for seed, state in raw.get("per_seed", {}).items()},
            "collateral": _collateral(raw["collateral"]) if raw.get("collateral") else None,
            "relabelling": _relabelling(raw["relabelling"]) if raw.get("relabelling") else None,
            "evidence": tuple(
                Evidence(
                    **{
                        **e,
                        "per_seed": {int(k): v for k, v in e.get("per_seed", {}).items()},
                        "bounds": {int(k): v for k, v in e.get("bounds", {}).items()},
                    }
                )
                for e in raw["evidence"]
            ),
        }
    )


def _collateral(raw: Mapping[str, Any]) -> Collateral:
    per_seed = {int(seed): value for seed, value in raw["per_seed"].items()}
    return Collateral(**{**raw, "state": CollateralState(raw["state"]), "per_seed": per_seed})


def _relabelling(raw: Mapping[str, Any]) -> Relabelling:
    per_seed = {int(seed): value for seed, value in raw["per_seed"].items()}
    return Relabelling(**{**raw, "state": RelabellingState(raw["state"]), "per_seed": per_seed})


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a result; results must be finite numbers or null")


def _require_finite(name: str, *values: float | None) -> None:
    """Checked where values arise: a NaN found only when the report is written would cost the whole run."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name or 'a result'} must be a finite number or None, got {value!r}")


def _require_bound(name: str, value: float | None, bound: str) -> None:
    if bound not in ("", ">=", "<="):
        raise ValueError(f"{name or 'a result'}: bound {bound!r} must be '>=', '<=' or ''")
    if bound and value is None:
        raise ValueError(f"{name or 'a result'}: a bound needs a value, got bound {bound!r} and no value")


def _fields(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
