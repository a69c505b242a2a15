"""The results of a run: Measurement, Verdict, Record, Capability, Run. Standard library only, so reports need no torch."""

from __future__ import annotations

from capbench.results.claims import Record, Status, Trial, Verdict
from capbench.results.measured import Control, Curve, Grid, Measurement, Passage
from capbench.results.models import (
    DERIVED,
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
from capbench.results.serial import from_json, measurement_from_dict, record_from_dict, to_dict, to_json

__all__ = [
    "DERIVED",
    "READABLE",
    "SCHEMA",
    "Capability",
    "CapabilityState",
    "Collateral",
    "CollateralState",
    "Control",
    "Curve",
    "Evidence",
    "FinetunedState",
    "Grid",
    "Measurement",
    "Passage",
    "Record",
    "Relabelling",
    "RelabellingState",
    "Results",
    "RunInfo",
    "Status",
    "Trial",
    "Verdict",
    "from_json",
    "measurement_from_dict",
    "record_from_dict",
    "to_dict",
    "to_json",
]
