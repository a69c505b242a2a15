"""What a plan costs, worked out by hand, and its table, which is the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import BASE, START, TRAIN, revived, tuned

from capbench.methods.specs.registry import find
from capbench.pipeline import snapshots
from capbench.pipeline.costs import Costs, duration
from capbench.pipeline.outline import outline
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.store.store import Store

TUNED = tuned(find("full"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def remember(store: Store, step: Step, **meta: Any) -> None:
    """As if the step had been made."""
    store.save(step.key, kind=type(step).__name__, config=step.config, tensors={}, meta=meta)


def keep(store: Store, step: Step, steps: int) -> None:
    """As if the step had been interrupted after so many steps of training."""
    place = store.root / "partial" / step.key
    place.mkdir(parents=True)
    (place / "0.snapshot").write_bytes(snapshots._line({"steps": steps}) + b"weights")


# ---- costs, by hand


def test_times_are_those_of_the_median_of_what_is_alike(store: Store) -> None:
    """A pretraining took 1, 2 and 9 seconds per step here; another batch size, and another kind, say nothing of it."""
    remember(store, START, seconds=0.5)
    for seed, seconds in enumerate((6.0, 12.0, 54.0), start=1):
        remember(store, replace(BASE, train=replace(TRAIN, seed=seed)), steps=6, seconds=seconds)
    for seed in range(4, 9):
        remember(store, replace(BASE, train=replace(TRAIN, seed=seed, batch_size=99)), steps=6, seconds=1e6)
    long = replace(BASE, train=replace(TRAIN, steps=60))
    other = replace(BASE, train=replace(TRAIN, batch_size=77))
    costs = Costs(Plan([long, other, tuned(find("full"))]), store)
    assert costs.seconds[long.key] == 120.0
    assert costs.seconds[other.key] is costs.seconds[TUNED.key] is None
    assert {step.key for step in costs.unknown} == {other.key, TUNED.key}
    assert costs.about(1) == "more than 2 min"  # 120 s, and 12 for the base of the fine-tuning


def test_what_came_with_the_package_says_nothing_of_this_machine(store: Store) -> None:
    """Its seconds are another machine's; the model that it began as is known through it all the same."""
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=6e6, bundled=True)
    again = [replace(BASE, train=replace(TRAIN, seed=seed)) for seed in (1, 2)]
    assert Costs(Plan(again), store).seconds[again[0].key] is None
    remember(store, TUNED, steps=6, seconds=60.0)
    remember(store, again[1], steps=6, seconds=12.0)
    costs = Costs(Plan([again[0], replace(TUNED, train=replace(TRAIN, seed=1))]), store)
    assert sorted(costs.seconds.values(), key=str) == [12.0, 60.0]


def test_metadata_is_read_once_in_a_process_and_what_is_new_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file.parent.name) or real(file))
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=6.0)
    other = replace(BASE, train=replace(TRAIN, seed=1))
    wanted = Plan([replace(BASE, train=replace(TRAIN, seed=5))])
    assert Costs(wanted, store).total == Costs(wanted, store).total == 6.0
    remember(store, other, steps=6, seconds=12.0)
    assert Costs(wanted, store).total == 9.0
    assert sorted(read) == sorted([START.key, BASE.key, other.key])


def test_a_method_is_timed_by_itself_and_by_others_only_where_it_is_new(store: Store) -> None:
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=6.0)
    bitfit = replace(TUNED, method=find("bitfit"))
    remember(store, TUNED, steps=6, seconds=60.0)
    remember(store, bitfit, steps=6, seconds=6.0)
    new = [replace(TUNED, method=find(name), train=replace(TRAIN, seed=1)) for name in ("full", "bitfit", "lp-ft")]
    costs = Costs(Plan(new), store)
    assert [costs.seconds[step.key] for step in new] == pytest.approx([60.0, 6.0, 33.0])


def test_the_longest_chain_and_the_time_on_several_cores(store: Store) -> None:
    """Three fine-tunings of 60 s after a base of 6 s: one after another 186 s, two at a time 93 s; the chain 66 s."""
    remember(store, replace(START, seed=9), seconds=0.0)
    remember(store, replace(BASE, start=replace(START, seed=9)), steps=6, seconds=6.0)
    remember(store, replace(TUNED, base=replace(BASE, start=replace(START, seed=9))), steps=6, seconds=60.0)
    asked = [replace(TUNED, train=replace(TRAIN, seed=seed)) for seed in (1, 2, 3)]
    costs = Costs(Plan(asked), store)
    assert costs.unknown == [] and costs.total == 186.0 and costs.steps == 24
    assert [type(step).__name__ for step in costs.chain] == ["Initialise", "Pretrain", "FineTune"]
    assert [costs.wall(jobs) for jobs in (1, 2, 8)] == [186.0, 93.0, 66.0]
    keep(store, BASE, 4)
    costs = Costs(Plan(asked), store)
    assert costs.kept[BASE.key] == 4 and costs.steps == 20 and costs.total == pytest.approx(182.0)


def test_the_other_precision_says_nothing(store: Store) -> None:
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=6.0)
    half = [replace(BASE, train=replace(TRAIN, precision="bfloat16", seed=seed)) for seed in (1, 2)]
    assert Costs(Plan(half[:1]), store).seconds[half[0].key] is None
    remember(store, half[0], steps=6, seconds=60.0)
    other = replace(BASE, train=replace(TRAIN, seed=1))
    costs = Costs(Plan([other, half[1]]), store)
    assert (costs.seconds[other.key], costs.seconds[half[1].key]) == (6.0, 60.0)


def test_models_of_a_stack_share_its_time(store: Store) -> None:
    """Three of a stack of 4, at work for 20 s: 5 s each. Seven more in stacks take 35 s, one more 20 s, in a stack or not."""
    remember(store, START, seconds=0.0)
    for seed in (1, 2, 3):
        remember(store, replace(BASE, train=replace(TRAIN, seed=seed)), steps=6, seconds=5.0, wall=20.0)
    more = [replace(BASE, train=replace(TRAIN, seed=seed)) for seed in range(4, 11)]
    stacked = Costs(Plan(more), store, stack=4)
    assert stacked.total == pytest.approx(35) and stacked.wall(1) == pytest.approx(35)
    assert [Costs(Plan(more[:1]), store, stack=n).wall(1) for n in (1, 4)] == pytest.approx([20, 20])
    assert outline(Plan(more), store, jobs=1, stack=4).endswith("time: about 35 s with up to 4 models in one pass")
    remember(store, replace(BASE, train=replace(TRAIN, seed=99)), steps=6, seconds=12.0)
    assert Costs(Plan(more), store).total == pytest.approx(7 * 12)
    assert Costs(Plan(more), store, stack=4).total == pytest.approx(35)


def test_an_unreadable_artefact_is_no_reason_to_stop(store: Store) -> None:
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=6.0)
    place = store.root / "artefacts" / "aa" / "aa00"
    place.mkdir(parents=True)
    for text in ("{", "[]", "{}", '{"config": {"type": 1}, "meta": 3}'):
        (place / "meta.json").write_text(text)
        assert Costs(Plan([replace(BASE, train=replace(TRAIN, seed=5))]), store).total == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min"), (7500, "2 h 05 min")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# ---- the table


def test_the_table_is_the_graph(store: Store) -> None:
    """Two base models (seeds are one line), a fine-tuning of each, one revival; one base is there, one half done."""
    other = replace(BASE, start=replace(START, seed=1))
    revival = revived(TUNED)
    plan = Plan([revival, replace(TUNED, base=other)])
    remember(store, START, seconds=0.0)
    remember(store, BASE, steps=6, seconds=60.0)
    remember(store, TUNED, steps=6, seconds=600.0)
    keep(store, other, 3)
    *table, _, totals, kept, chain, time = outline(plan, store, jobs=2).splitlines()
    rows = [line.split() for line in table[2:]]
    assert [(row[1], row[0]) for row in rows] == [
        ("initialise", "1"),
        ("pretrain", "2"),
        ("fine-tune", "3"),
        ("revive", "4"),
    ]
    assert [row[-4:] for row in rows[1:3]] == [["1", "3", "30", "s"], ["1", "6", "10", "min"]]
    assert rows[2][-6:-3] == ["2", "2", "1"] and rows[3][-5:] == ["3", "1", "0", "6", "-"]
    assert totals == "7 models, 3 in the cache, 4 to make (15 training steps)"
    assert kept == "3 more training steps are kept from an interrupted run"
    assert chain.startswith("longest chain: pretrain ") and " -> fine-tune " in chain and chain.endswith("(9 steps)")
    assert time == "time: more than 10 min with 2 cores (10 min of one core); the time of 1 models is unknown"
