"""The expectations of one run: what was collected, what of it is as expected, and what to report at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capbench.expectations.files import Expectations
from capbench.expectations.match import Outcome, find, of_claim, of_verdict, unmatched
from capbench.results import Capability, Collateral, Record


class Watch:
    """Knows nothing of pytest. With pytest-xdist each process has one; the controller's receives what the others saw."""

    def __init__(self, expectations: Expectations) -> None:
        self.expectations = expectations
        self._claims: set[str] = set()
        self._models: set[str] = set()

    def collected(self, claim: str, model: str) -> None:
        """A test was collected. claim: its Record.id; model: the Capability.id of the model it may look at, or ''."""
        self._claims.add(claim)
        self._models |= {model} - {""}

    def seen(self) -> dict[str, list[str]]:
        """What was collected, as plain values that can be sent to another process."""
        return {"claims": sorted(self._claims), "models": sorted(self._models)}

    def heard(self, seen: Mapping[str, Sequence[str]]) -> None:
        """What another process collected."""
        self._claims.update(seen["claims"])
        self._models.update(seen["models"])

    def outcome(self, record: Record, *, broken: bool) -> Outcome | None:
        """What became of the expectation about this claim; None: as the paper says. broken: the test itself failed."""
        return of_claim(self.expectations.claims, record, broken=broken)

    def failures(self, records: Sequence[Record], capabilities: Sequence[Capability]) -> list[str]:
        """A line for each capability verdict that is not as expected, or that could not be reached though one was expected."""
        entries, lines = self.expectations.verdicts, []
        for found in capabilities:
            outcome = of_verdict(entries, found)
            if outcome is not None and not outcome.holds:
                new = f", fine-tuned task {found.finetuned or 'between the classes'}"
                ends = f"{found.verdict}{new}{_collateral(found.collateral)}"
                lines.append(f"{found.id} ({found.method}): {ends}: {found.reason}; {outcome.line}")
        judged = {(c.id, c.method) for c in capabilities}
        missing = {(model, r.method): r for r in records if not r.measurements and (model := _model(r))}
        for (model, method), record in missing.items():
            if (model, method) not in judged and find(entries, model):
                lines.append(f"{model} ({method}): no verdict, though one was expected: {record.verdict.reason}")
        return lines

    def warnings(self) -> list[str]:
        """A line for each of the user's own patterns that matches nothing collected, even what was deselected later."""
        if not self._claims:  # nothing was collected: another problem
            return []
        name, hint = self.expectations.name, "a pattern must match the whole id; * and ? are wildcards"
        sought = (
            (self.expectations.claims, self._claims, "collected claim"),
            (self.expectations.verdicts, self._models, "model of a collected claim"),
        )
        return [
            f"{name}: [[{e.kind}]] {e.pattern!r} matches no {what}; {hint}"
            for entries, names, what in sought
            for e in unmatched(entries, names)
        ]


def _collateral(found: Collateral | None) -> str:
    """`, all else damaged (worst: I.c, 0.71 of before)`; '' where the base model knew nothing else."""
    if found is None:
        return ""
    share = "" if found.value is None else f", {found.value:.2f} of before"
    return f", all else {found.state} (worst: {found.worst}{share})"


def _model(record: Record) -> str:
    """The id that a verdict on this record's fine-tuned model has; '' for a claim about none, or about several."""
    if not {"c_tr", "lr"} <= record.protocol.keys() or not any(role.startswith("tuned/") for role in record.artefacts):
        return ""
    return f"{record.task}[{record.case}]"
