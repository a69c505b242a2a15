"""A map that is made up: where its boundaries run, and how it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from capbench.mapping import show
from capbench.mapping.grid import axis
from capbench.mapping.places import NOT_YET, Boundary, Map, Outcome
from capbench.results import CapabilityState, Collateral, CollateralState, Evidence, RunInfo
from capbench.studies.pcfg.tools import TOOLBOX

INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED
DESTROYED = CapabilityState.DESTROYED
RUN = RunInfo(
    run_id="map", capbench="0", git_commit=None, python="3", torch=None, device="cpu", threads=1, scale="tiny",
    seeds=(0, 1, 2), methods=("full",), command="capbench map -x rate=0.1,1,10 -y times=1,3", start="", seconds=1.0,
)  # fmt: skip
LOST = Collateral(state=CollateralState.KEPT, worst="CC.a", value=0.96, per_seed={0: 0.96})


def place(x: float, y: float, *states: CapabilityState, speed_up: float | None = None, bound: str = "") -> Outcome:
    read = Evidence(
        tool="revival",
        value=speed_up,
        unit="ratio",
        reading="present",
        rule=">= 2",
        bound=bound,
        per_seed={0: speed_up},
    )
    agreed = states[0] if len(set(states)) == 1 else CapabilityState.UNDECIDED
    per_seed = dict(enumerate(states))
    return Outcome(place=(x, y), state=agreed, per_seed=per_seed, evidence=(read,), collateral=LOST, why="because")


def made() -> Map:
    outcomes = (
        *(place(0.1, 1, INTACT), place(1, 1, WRAPPED, speed_up=12.5), place(10, 1, WRAPPED, speed_up=4.0)),
        place(0.1, 3, INTACT),
        place(1, 3, WRAPPED, WRAPPED, DELETED, speed_up=3.0),
        place(10, 3, DELETED, DELETED, DELETED, speed_up=1.0, bound=">="),
        *(Outcome(place=(0.1, 9), why="diverged: at step 3"), Outcome(place=(1, 9), why=NOT_YET)),
        place(10, 9, DELETED, speed_up=0.9),
    )
    return Map(x=axis("-x", "rate=0.1,1,10"), y=axis("-y", "times=1,3,9"), fixed={"c_tr": 1}, outcomes=outcomes)


def test_where_a_state_begins_and_ends() -> None:
    found = {b.at: b for b in made().boundaries(DELETED)}
    assert 1 not in found  # nothing was deleted there
    assert found[3] == Boundary(at=3, last=0.1, first=10, until=10, seeds=1)  # at 1 the seeds differ
    assert found[9] == Boundary(at=9, last=None, first=10, until=10)  # what diverged is no model without the state
    wrapped = {b.at: b for b in made().boundaries(WRAPPED)}
    assert wrapped[1] == Boundary(at=1, last=0.1, first=1, until=10)
    assert wrapped[3] == Boundary(at=3, last=0.1, first=None, beyond=10)


def line(*states: CapabilityState | str) -> Map:
    """A map of one row: of rate 1, 10, 100 ..."""
    outcomes = tuple(
        place(10**i, 1, state)
        if isinstance(state, CapabilityState)
        else Outcome(place=(10**i, 1), why=f"{state}: for a reason")
        for i, state in enumerate(states)
    )
    x = axis("-x", "rate=" + ",".join(str(10**i) for i in range(len(states))))
    return Map(x=x, y=axis("-y", "times=1,2"), fixed={}, outcomes=outcomes)


def test_a_state_may_end_again_and_what_has_none_says_nothing() -> None:
    found = line(WRAPPED, "unsure", DELETED, CapabilityState.UNDECIDED, DELETED, "diverged", DESTROYED)
    assert found.boundaries(DELETED) == (Boundary(at=1, last=1, first=100, until=10**4, beyond=10**6),)
    told = "times 1: deleted begins between rate 1 and 100, ends between 10000 and 1e+06 (one seed)"
    assert told in show.to_text(found, RUN)
    assert found.edge == [(1, 1), (100, 1), (10**4, 1), (10**6, 1)]
    assert line(DELETED, "diverged").boundaries(DELETED) == (Boundary(at=1, last=None, first=1, until=1),)
    assert line("diverged", DELETED).edge == []


def test_places_at_a_boundary_are_those_whose_neighbours_differ() -> None:
    found = made().edge
    assert (1, 1) in found and (10, 3) in found and (1, 9) not in found
    assert made().left == 1


def test_as_text() -> None:
    text = show.to_text(made(), RUN)
    rows = {line.split()[0]: line for line in text.splitlines() if line and line[0].isdigit()}
    assert rows["1"].split() == ["1", "intact", "wrapped", "wrapped"]
    assert "2 wrapped, 1 deleted" in rows["3"] and "3 deleted" in rows["3"]
    assert rows["9"].split() == ["9", "diverged", "not", "yet", "deleted"]
    assert text.index("\n9 ") < text.index("\n3 ") < text.index("\n1 ")  # the highest first
    assert "times 3: deleted begins between rate 0.1 and 10 (one seed)" in text
    assert "rate 0.1, times 9: diverged: at step 3" in text
    assert "8 of 9 places are made; run the same command again for the others" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_as_files(tmp_path: Path) -> None:
    files = show.write(made(), RUN, TOOLBOX, tmp_path)
    assert [file.name for file in files] == ["map.json", "map.md", "map.svg"]
    raw = json.loads(files[0].read_text())
    assert len(raw["places"]) == 9 and raw["x"]["values"] == [0.1, 1, 10] and raw["kind"] == "map"
    assert raw["boundaries"]["deleted"][0] == {
        "at": 3, "last": 0.1, "first": 10, "until": 10, "beyond": None, "seeds": 1
    }  # fmt: skip
    page = files[1].read_text()
    assert "| 3 | – | 3.00 | ≥ 1.00 |" in page and "kept, CC.a 0.96" in page and "![" in page and RUN.command in page
    drawn = ElementTree.parse(files[2])
    assert drawn.getroot().tag.endswith("svg")
    # The same map gives the same file.
    before = files[2].read_bytes()
    show.write(made(), RUN, TOOLBOX, tmp_path)
    assert files[2].read_bytes() == before


@pytest.mark.parametrize("text", ["answers=random,constant", "rate=0.1,1"])
def test_words_and_numbers_are_drawn(tmp_path: Path, text: str) -> None:
    x = axis("-x", text)
    outcomes = tuple(place(v, 1, WRAPPED, speed_up=2.0) for v in x.values)  # type: ignore[arg-type]
    show.write(Map(x=x, y=axis("-y", "times=1,2"), fixed={}, outcomes=outcomes), RUN, TOOLBOX, tmp_path)
    assert (tmp_path / "map.svg").stat().st_size > 1000
