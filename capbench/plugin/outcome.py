"""Turn a verdict into the outcome of its pytest test: passed, failed, or xfailed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from capbench.plugin.attempts import attempt_of, test_of
from capbench.plugin.benchmarks import BENCHMARK

if TYPE_CHECKING:
    from capbench.expectations.watch import Watch
    from capbench.studies.judge import Judge
    from capbench.variants.judging import VariantsJudge

FAILED_SUBTESTS: pytest.StashKey[list[str]] = pytest.StashKey()  # of an item: their exceptions, one line each


def tell(
    report: Any, made: Judge | VariantsJudge, item: pytest.Item, call: pytest.CallInfo[None], watch: Watch
) -> None:
    """Put the verdict, compared with what is expected of it, into pytest's report of the test."""
    from capbench.errors import CapbenchError
    from capbench.results import Status, to_dict
    from capbench.studies.judge import InvalidClaimError, outcome_line

    own_line, broken = True, False
    if call.excinfo is not None:
        broken = not isinstance(call.excinfo.value, (InvalidClaimError, pytest.skip.Exception))
        own_line = not broken or isinstance(call.excinfo.value, CapbenchError)  # a full disk and the like
        made.invalidate(str(call.excinfo.value) if own_line else f"the test failed: {call.excinfo.exconly()}")
    elif failed := item.stash.get(FAILED_SUBTESTS, []):
        made.invalidate(f"{len(failed)} of its subtests failed: {failed[0]}")
    record = made.record()
    expected = watch.outcome(record, broken=broken)
    status, line = record.verdict.status, outcome_line(record)
    if expected is not None:
        record, line = dataclasses.replace(record, expected=expected.text), f"{line}; {expected.line}"
    fine = status in (Status.SUPPORTED, Status.INCONCLUSIVE) if expected is None else expected.holds
    if fine and status is Status.SUPPORTED:
        report.outcome, report.longrepr = "passed", None
    elif fine:
        report.outcome, report.wasxfail, report.longrepr = "skipped", line, line
    else:
        report.outcome = "failed"
        if own_line:  # a broken test keeps its traceback
            report.longrepr = line
    report.capbench_status = str(status)
    report.capbench_record = to_dict(record)
    report.capbench_test, report.capbench_attempt = test_of(item), attempt_of(item)
    benchmark = item.stash.get(BENCHMARK, None)
    if benchmark is not None:
        v = record.verdict
        benchmark.extra_info.update(claim=record.id, status=str(status), effect=v.effect, margin=v.margin)
