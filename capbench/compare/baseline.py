"""The run that later runs are compared with: kept in its own folder, or any run that is named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capbench.compare.folders import BASELINES, FILE
from capbench.compare.gate import Gate, sentence
from capbench.compare.runs import compare
from capbench.compare.show import to_text
from capbench.errors import UsageError
from capbench.report.words import methods
from capbench.report.write import check_directory, load
from capbench.results import Capability, Record, Results, Status, to_json
from capbench.store.files import write_whole

Verdicts = Callable[[Sequence[Record]], tuple[Capability, ...]]  # on the models of some records
AUTO, EXTENDED = "auto", "--capbench-extended"
NOT_KEPT = "baseline: this run was not kept: it ended early or holds no claims"
NOTHING = "baseline: this run was not kept: none of its claims could be put to the test, so nothing could ever be worse"
LONGEST = 80  # longest name of a folder, in characters


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Which run to compare with, and when that fails.

    file: the results.json that `save` writes and `auto` reads; None where a run was named, which is never written.
    before: the run to compare with; None if there is none yet.
    """

    file: Path | None
    before: Results | None
    gate: Gate

    @classmethod
    def find(
        cls,
        given: str | None,
        *,
        save: bool,
        gate: Gate,
        reports: Path,
        scale: str,
        names: Sequence[str],
    ) -> Baseline | None:
        """The baseline that the options ask for, None without one. UsageError now for what could not be compared later.

        given: a run folder, a results.json or `auto`, which is the folder baseline/<scale>-<methods> below the reports.
        """
        if given is None:
            return None
        if given != AUTO:
            if save:
                raise UsageError(
                    f"--capbench-baseline-save needs --capbench-baseline=auto; run '{given}' is never replaced"
                )
            before = load(Path(given))
            _require_scale(before, scale, given)
            return cls(file=None, before=before, gate=gate)
        file = reports / BASELINES / folder_name(scale, names) / FILE
        if save or not file.exists():
            check_directory(file.parent)
            return cls(file=file, before=None, gate=gate)
        before = load(file)
        _require_scale(before, scale, str(file))
        return cls(file=file, before=before if tells_something(before) else None, gate=gate)

    def conclude(
        self, run: Results, *, complete: bool, asked: Callable[[str], bool], verdicts: Verdicts
    ) -> tuple[str, str]:
        """Compare a run at its end, or keep it where there is nothing to compare with yet.

        complete: whether all selected tests have ended. asked: whether the test with this id was selected. A claim of the
        baseline that was not selected has not vanished; it is omitted. verdicts: where the claims differ, derives those on
        capabilities anew, from the claims in both runs. Returns the text to show and, if there is a regression or the run could
        not be kept, that in one line.
        """
        if self.before is None:
            if not complete or not run.records:
                return NOT_KEPT, ""
            return self._keep(run) if tells_something(run) else (NOTHING, "")
        before, after, left = common(self.before, run, lambda nodeid: complete and asked(nodeid), verdicts)
        found = compare(before, after)
        failed = self.gate.found(found)
        note = f"\nclaims of the baseline omitted, as this run did not select them: {left}" if left else ""
        return f"baseline: {to_text(found)}{note}", sentence(failed, self.gate) if failed else ""

    def _keep(self, run: Results) -> tuple[str, str]:
        if self.file is None:
            raise ValueError("a run that was named is never replaced")
        try:
            check_directory(self.file.parent)
            write_whole(self.file, to_json(run))
        except (UsageError, OSError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            return "", f"baseline: this run could not be kept in '{self.file.parent}': {why}"
        count = f"{len(run.records)} claim{'s' * (len(run.records) != 1)}"
        return f"baseline: kept this run ({count}) in {self.file.parent}; later runs are compared with it", ""


def tells_something(run: Results) -> bool:
    """Whether a later run can be worse than this one: a claim was put to the test, or a model has a verdict."""
    return bool(run.capabilities) or any(record.verdict.status is not Status.INVALID for record in run.records)


def folder_name(scale: str, names: Sequence[str]) -> str:
    """`small-full`; a method whose name is not a folder name gets a hash, so that no two share a folder."""
    name = "-".join([scale, *names])
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", name)[:LONGEST]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def common(
    before: Results, run: Results, asked: Callable[[str], bool], verdicts: Verdicts
) -> tuple[Results, Results, int]:
    """Both runs without the baseline's claims that this run did not select, and the number of those.

    The verdicts are then about the same claims: one from fewer tools could differ for that reason alone.
    """
    several = len(methods(before)) > 1 or len(methods(run)) > 1
    named = {"", *run.run.methods, *methods(run)}

    def key(r: Record) -> tuple[str, ...]:
        return (r.id, r.model, r.task, *([r.method] if several else []))

    core = EXTENDED in before.run.command.split() and EXTENDED not in run.run.command.split()
    keys, old = {key(r) for r in run.records}, {key(r) for r in before.records}
    kept = tuple(
        r
        for r in before.records
        if key(r) in keys or (not core and asked(r.nodeid) and (not several or r.method in named))
    )
    left = len(before.records) - len(kept)
    shared = tuple(r for r in run.records if key(r) in old)
    if left:
        before = replace(before, records=kept, capabilities=verdicts(kept))
    if left or len(shared) < len(run.records):
        run = replace(run, capabilities=verdicts(shared))
    return before, run, left


def _require_scale(before: Results, scale: str, given: str) -> None:
    if before.run.scale != scale:
        raise UsageError(
            f"--capbench-baseline={given}: that run has scale {before.run.scale}, this one {scale}; "
            "scales are never compared"
        )
