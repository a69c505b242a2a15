"""Claims about the state of a model: which tools are asked, and that the report's rule decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from known_tools import TRAINED as TOOLBOX
from tiny import study

from capbench.pipeline.steps import Step
from capbench.results import CapabilityState, Measurement, Status
from capbench.studies.judge import Case, Claim, Judge, outcome_line
from capbench.studies.lab import Bench, Reading
from capbench.studies.pcfg.study import PcfgCounter
from capbench.verdicts.capability import assess

STUDY = PcfgCounter(preset=study().preset, method=study().method, toolbox=TOOLBOX)
CASE = Case(prior="low", c_tr=1, lr="small")
INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED


class FakeLab:
    """Hands the reading its bench; there are no models."""

    def built(self, step: Step) -> object:
        return type("Built", (), {"meta": {}})()

    def read(self, reading: Reading, bench: Bench, steps: Mapping[str, Step]) -> tuple[Measurement, ...]:
        return tuple(reading(bench))


def reading(values: Mapping[str, Iterable[float]]) -> Reading:
    """Gives each measurement the value of its seed."""

    def read(bench: Bench) -> Iterable[Measurement]:
        for name, by_seed in values.items():
            yield Measurement(name=name, value=list(by_seed)[bench.seed], unit="", n=1, seed=bench.seed)

    return read


def judged(
    o_pt: Iterable[float], revival: Iterable[float] = (), patching: Iterable[float] = (), **controls: float
) -> tuple[Judge, int]:
    """A judge that measured these values, and how often it asked the tools."""
    o_pt = list(o_pt)
    asked = []
    tools = reading({"revival.speed_up": revival, "patching.kept": patching})

    def counted(bench: Bench) -> Iterable[Measurement]:
        asked.append(bench.seed)
        return tools(bench)

    claim = Claim(id="verdict", source="Fig. 7", needs=lambda *_: {})
    judge = Judge(
        claim=claim,
        case=CASE,
        nodeid="suites/test_x.py::test",
        method="full",
        study=STUDY,
        lab=FakeLab(),  # type: ignore[arg-type]
        steps={seed: {} for seed in range(len(o_pt))},
    )
    behaviour = reading({f"tuned.O_PT.c_te{c}": o_pt for c in (0, 1)})
    judge.measure((behaviour, []), where_lost=[(counted, [])])
    for name, value in controls.items():
        judge.control(name, [value], low=0.5)
    return judge, len(asked)


@pytest.mark.parametrize(
    ("o_pt", "asked"),
    [
        ([1.0, 0.9], 0),  # the border belongs to 'kept'
        ([0.0, 0.0], 2),
        ([1.0, 0.89], 2),  # lost on one seed: asked on all, so that each has the same evidence
    ],
)
def test_tools_are_asked_only_where_the_behaviour_is_not_kept(o_pt: list[float], asked: int) -> None:
    judge, times = judged(o_pt, [6.0] * 2, [1.0] * 2)
    assert (times, judge.lost) == (asked, asked > 0)


def test_a_behaviour_without_a_value_is_not_known_to_be_kept() -> None:
    """As where nothing is measured and only what a test asks for is noted (`capbench zoo build`)."""
    judge, _ = judged([1.0])
    judge._measurements.clear()
    assert judge.lost


@pytest.mark.parametrize(
    ("o_pt", "revival", "patching", "expected", "status", "says"),
    [
        ([0.0] * 3, [6.0] * 3, [1.0] * 3, WRAPPED, Status.SUPPORTED, "wrapped: behaviour gone, but"),
        ([0.0] * 3, [6.0] * 3, [1.0] * 3, DELETED, Status.REFUTED, "wrapped: behaviour gone, but"),
        ([0.0] * 3, [1.0] * 3, [0.0] * 3, DELETED, Status.SUPPORTED, "deleted: behaviour gone, and no tool"),
        ([0.0] * 3, [6.0] * 3, [0.0] * 3, WRAPPED, Status.INCONCLUSIVE, "undecided: the tools disagree"),
        ([1.0] * 3, [], [], INTACT, Status.SUPPORTED, "intact: behaviour kept"),
        ([1.0], [], [], WRAPPED, Status.REFUTED, "intact: behaviour kept"),
    ],
)
def test_the_state_of_the_report_decides(
    o_pt: list[float],
    revival: list[float],
    patching: list[float],
    expected: CapabilityState,
    status: Status,
    says: str,
) -> None:
    judge, _ = judged(o_pt, revival, patching)
    judge.decide_state(expected)
    record = judge.record()
    assert record.verdict.status is status
    assert says in record.verdict.reason and says in outcome_line(record)
    in_report = assess(record.measurements, TOOLBOX, scale=STUDY.preset.name)
    assert in_report is not None and record.verdict.reason == f"{in_report.state}: {in_report.reason}"


def test_a_failed_control_makes_it_invalid() -> None:
    judge, _ = judged([0.0], [6.0], [1.0], range=0.1)
    judge.decide_state(WRAPPED)
    assert judge.verdict is not None and judge.verdict.status is Status.INVALID
    assert judge.verdict.reason == "control failed: range is 0.1, expected >= 0.5"


def test_without_behaviour_there_is_no_state() -> None:
    judge, _ = judged([1.0])
    judge._measurements.clear()
    judge.decide_state(INTACT)
    assert judge.verdict is not None and judge.verdict.status is Status.INVALID
    assert judge.verdict.reason == "the behaviour was not measured: tuned.O_PT.c_te0, tuned.O_PT.c_te1"
