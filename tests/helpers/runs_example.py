"""Small runs for comparing: claims decided by the library's own rules, verdicts made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report_example import record, results

from capbench.compare.gate import Gate
from capbench.compare.rows import ClaimRow, Comparison
from capbench.compare.runs import compare
from capbench.results import Capability, CapabilityState, Evidence, FinetunedState, Record, Results, to_json
from capbench.verdicts import claims

PROTOCOL = {"prior": "low", "c_tr": 1.0, "lr": "medium", "eta": 1e-3, "steps": 100}
SPREAD = (-0.02, 0.0, 0.02)  # around a mean, one per seed
YES, MAYBE, NO = (0.68, 0.70, 0.72), (0.48, 0.50, 0.52), (0.08, 0.10, 0.12)  # what a claim of at least .5 is
STATES = ("wrapped", "deleted", "undecided", "intact")


def claim(
    name: str,
    per_seed: Sequence[float],
    threshold: float = 0.5,
    *,
    most: bool = False,
    seeds: Sequence[int] | None = None,
    what: str = "an effect",
    **changes: Any,
) -> Record:
    """A claim `name`, decided from one effect per seed."""
    verdict = (claims.at_most if most else claims.at_least)(per_seed, threshold, what)
    kept = tuple(range(len(per_seed)) if seeds is None else seeds)
    fields = {"nodeid": f"suites/test_one.py::test_{name.replace('.', '_')}", "case": "", **changes}
    return record(claim=name, verdict=verdict, seeds=kept, **fields)


def broken(name: str, reason: str = "training diverged", **changes: Any) -> Record:
    """A claim that could not be put to the test."""
    return dataclasses.replace(claim(name, (1.0, 1.0)), verdict=claims.invalid(reason), **changes)


def verdict(state: str, finetuned: str | None = "shortcut", *, keep: bool = True, **tools: float) -> Capability:
    """A capability verdict, with what each tool measured: its mean, and one number per seed around it if kept."""
    evidence = tuple(
        Evidence(
            tool=tool,
            value=value,
            unit="ratio",
            reading="present" if value >= 0.5 else "absent",
            rule="present from 0.5",
            per_seed={seed: value + shift for seed, shift in enumerate(SPREAD)} if keep else {},
        )
        for tool, value in sorted(tools.items())
    )
    return Capability(
        model="gpt",
        task="counter",
        method="full",
        protocol=PROTOCOL,
        verdict=CapabilityState(state),
        finetuned=FinetunedState(finetuned) if finetuned else None,
        evidence=evidence,
    )


def run(*found: Record | Capability, **info: Any) -> Results:
    """A run that holds these claims and verdicts."""
    records = [item for item in found if isinstance(item, Record)]
    made = results(*records, capabilities=tuple(item for item in found if isinstance(item, Capability)))
    return dataclasses.replace(made, run=dataclasses.replace(made.run, **info))


def saved(folder: Path, found: Results) -> Path:
    """The run as a folder."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(to_json(found))
    return folder


def healthy(**info: Any) -> Results:
    """Fine-tuning as in the paper: a shortcut, and the old capability wrapped."""
    return run(
        claim("revival.efficiency", (6.2, 7.7, 6.3), 2.0),
        claim("relevance.shortcut", (0.0, 0.02, 0.01), 0.2, most=True),
        verdict("wrapped", behaviour=0.02, revival=6.7, probing=0.99, pruning=0.67),
        **info,
    )


def planted(**info: Any) -> Results:
    """The same with a rate ten times too high: nothing is left to revive, the shortcut is as it was."""
    return run(
        claim("revival.efficiency", (1.1, 1.2, 1.0), 2.0),
        claim("relevance.shortcut", (0.0, 0.02, 0.01), 0.2, most=True),
        verdict("deleted", behaviour=0.02, revival=1.1, probing=0.1, pruning=0.0),
        **info,
    )


def row(before: Record, after: Record, **info: Any) -> ClaimRow:
    """The only row of two runs of one claim each."""
    (only,) = compare(run(before), run(after, **info)).claims
    return only


def regressions(a: Results, b: Results, *forms: str) -> tuple[str, ...]:
    """What fails, by these forms of the gate."""
    return Gate.parse("--fail-on", forms or None).found(compare(a, b))


def what(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What is pointed out of how two runs were made."""
    return [(item.what, item.a, item.b) for item in comparison.setup]
