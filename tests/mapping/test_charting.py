"""Which places of a map are looked at, and on which seeds, when the states are known. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiny import TINY

from capbench.mapping.charting import Charting
from capbench.mapping.grid import Place, axis
from capbench.mapping.places import NOT_YET, Outcome
from capbench.methods.specs.registry import find
from capbench.results import CapabilityState
from capbench.store.store import Store
from capbench.studies.deletion.study import DeletionCounter

INTACT, DELETED = CapabilityState.INTACT, CapabilityState.DELETED
FIXED = {"prior": "low", "c_tr": 1, "lr": "medium"}


class Known(Charting):
    """A chart of states that are known."""

    known: Callable[[Place, int], CapabilityState | None]

    def _look(self, places: Sequence[Place], seeds: Sequence[int]) -> None:
        self.asked.append((list(places), list(seeds)))
        for place in places:
            states = {seed: state for seed in seeds if (state := self.known(place, seed))}
            state = next(iter(states.values()), None) if len(set(states.values())) < 2 else CapabilityState.UNDECIDED
            whole = Outcome(place=place, state=state, per_seed=states) if states else None
            self._found[place] = whole or Outcome(place=place, why=NOT_YET)


def chart(tmp_path: Path, known: Callable[[Place, int], CapabilityState | None], *, refine: int, seeds: int) -> Known:
    found = Known(
        x=axis("-x", "rate=1,10,100"),
        y=axis("-y", "times=1,2"),
        fixed=FIXED,
        study=DeletionCounter(preset=TINY, method=find("full")),
        store=Store(tmp_path),
        seeds=range(seeds),
        refine=refine,
        say=lambda words: None,
    )
    found.known, found.asked = known, []  # type: ignore[attr-defined]
    found.chart()
    return found


def test_what_lies_between_places_that_differ_is_looked_at_then_the_boundary_on_all_seeds(tmp_path: Path) -> None:
    found = chart(tmp_path, lambda place, seed: DELETED if place[0] > 20 else INTACT, refine=2, seeds=3)  # type: ignore[operator]
    first, second, third, last = found.asked  # type: ignore[attr-defined]
    assert len(first[0]) == 6 and first[1] == [0]
    assert second == ([(32, 1), (32, 2)], [0])  # between 10 and 100
    assert third == ([(18, 1), (18, 2)], [0])  # between 10 and 32
    assert set(last[0]) == {(18, 1), (18, 2), (32, 1), (32, 2)} and last[1] == [0, 1, 2]
    assert [b.last for b in found.map.boundaries(DELETED)] == [18, 18]


def test_a_boundary_that_seeds_move_is_followed(tmp_path: Path) -> None:
    """On the first seed it lies between 1 and 10, on the others between 10 and 100."""

    def known(place: Place, seed: int) -> CapabilityState:
        return DELETED if place[0] > (5 if seed == 0 else 50) else INTACT  # type: ignore[operator]

    found = chart(tmp_path, known, refine=0, seeds=3)
    _, second, third = found.asked  # type: ignore[attr-defined]
    assert {p[0] for p in second[0]} == {1, 10} and {p[0] for p in third[0]} == {100}
    assert [(b.last, b.first, b.seeds) for b in found.map.boundaries(DELETED)] == [(1, 100, 3)] * 2


def test_a_map_of_one_state_has_no_boundary(tmp_path: Path) -> None:
    found = chart(tmp_path, lambda place, seed: INTACT, refine=3, seeds=3)
    assert len(found.asked) == 1 and found.map.edge == []  # type: ignore[attr-defined]


def test_where_time_ran_out_nothing_is_refined(tmp_path: Path) -> None:
    def known(place: Place, seed: int) -> CapabilityState | None:
        return {1: INTACT, 10: DELETED}.get(place[0])  # type: ignore[arg-type]

    found = chart(tmp_path, known, refine=1, seeds=3)
    assert len(found.asked) == 1 and found.map.left == 2  # type: ignore[attr-defined]
