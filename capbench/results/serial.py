"""Results to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from capbench.results.claims import Record, Status, Trial, Verdict
from capbench.results.measured import Control, Curve, Grid, Measurement, Passage
from capbench.results.models import (
    Capability,
    CapabilityState,
    Collateral,
    CollateralState,
    Evidence,
    FinetunedState,
    Relabelling,
    RelabellingState,
)
from capbench.results.run import READABLE, SCHEMA, Results, RunInfo


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


def _fields(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
