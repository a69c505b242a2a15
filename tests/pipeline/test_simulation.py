"""Simulated schedules: worked out by hand, within the bounds of list scheduling, and the same as the plan's own loop."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.pipeline.costs import Time
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.pipeline.simulation.enough import WITHIN, enough
from capbench.pipeline.simulation.further import with_further
from capbench.pipeline.simulation.graph import Graph, Job
from capbench.pipeline.simulation.machines import Cluster, Machines, Stacks, Workers
from capbench.pipeline.simulation.outcome import outcome
from capbench.pipeline.simulation.schedule import Schedule, schedule
from capbench.pipeline.simulation.words import lines


def job(key: str, seconds: float | None, *parents: str, **more: Any) -> Job:
    """A job whose training steps are its seconds, unless `more` says otherwise."""
    time = None if seconds is None else Time(seconds=seconds, wall=seconds)
    steps = {"cost": int(seconds or 0), "left": int(seconds or 0)}
    return Job(**{"key": key, "label": key, "parents": parents, "time": time, **steps, **more})


def begun(graph: Graph, found: Schedule) -> dict[str, float]:
    return dict(zip([job.key for job in graph.missing], found.begun, strict=True))


def makespan(graph: Graph, machines: Machines) -> float:
    return schedule(graph, machines).makespan


few = settings(max_examples=50, deadline=None)

CHAIN = Graph([job("a", 1), job("b", 2, "a"), job("c", 3, "b")])
FAN = Graph([job("root", 2), *(job(name, 3, "root") for name in "abcd")])


# ---- by hand


@pytest.mark.parametrize("cores", [1, 4])
def test_a_chain_takes_its_sum_on_any_number_of_cores(cores: int) -> None:
    found = schedule(CHAIN, Workers(cores=cores))
    assert begun(CHAIN, found) == {"a": 0, "b": 1, "c": 3} and found.makespan == 6
    assert found.utilisation == pytest.approx(1 / cores)
    assert CHAIN.chain.seconds == 6 and [job.key for job in CHAIN.chain.jobs] == ["a", "b", "c"]


@pytest.mark.parametrize(("cores", "expected"), [(1, 14), (2, 8), (3, 8), (4, 5), (9, 5)])
def test_a_fan_takes_as_many_rounds_as_its_blades_need(cores: int, expected: float) -> None:
    found = schedule(FAN, Workers(cores=cores))
    assert found.makespan == expected and found.utilisation == pytest.approx(14 / (cores * expected))


def test_two_chains_on_one_core_take_their_sum_and_the_longer_begins() -> None:
    """Its first part is short: what counts is all that follows it."""
    graph = Graph([job("short", 2), job("after", 3, "short"), job("long", 1), job("much", 9, "long")])
    found = schedule(graph, Workers(cores=1))
    assert begun(graph, found) == {"long": 0, "much": 1, "short": 10, "after": 12} and found.makespan == 15
    assert makespan(graph, Workers(cores=2)) == 10


def test_the_order_is_that_of_training_steps_as_in_a_plan_whatever_they_take() -> None:
    graph = Graph([job("slow", 100, cost=1), job("steps", 1, cost=50), job("first", 7, cost=60, priority=0)])
    assert begun(graph, schedule(graph, Workers(cores=1))) == {"first": 0, "steps": 7, "slow": 8}
    later = Graph([job("later", 1, cost=99, priority=1), job("sooner", 1, cost=1)])
    assert begun(later, schedule(later, Workers(cores=1))) == {"sooner": 0, "later": 1}


def test_what_is_there_takes_no_time_and_keeps_nothing_waiting() -> None:
    graph = Graph([job("there", 50, missing=False), job("a", 4, "there")])
    assert makespan(graph, Workers(cores=1)) == 4 and [job.key for job in graph.chain.jobs] == ["a"]
    done = Graph([job("there", 50, missing=False)])
    found = schedule(done, Workers(cores=2))
    assert (found.makespan, found.utilisation, done.chain.jobs) == (0, None, ())


def test_a_cluster_begins_first_what_could_begin_first() -> None:
    """The child of the longest chain can begin at 1, when another has waited from the start. One machine takes the child."""
    graph = Graph([job("a", 1, cost=9), job("child", 8, "a"), job("waiting", 5), job("busy", 8, cost=9)])
    assert begun(graph, schedule(graph, Workers(cores=2))) == {"a": 0, "busy": 0, "child": 1, "waiting": 8}
    assert begun(graph, schedule(graph, Cluster(nodes=2, cores=1))) == {"a": 0, "busy": 0, "waiting": 1, "child": 6}


def test_a_cluster_is_handed_a_number_of_steps_ahead_and_those_that_wait_count() -> None:
    """Two at a time: `a` and the child that waits for it; `other` is handed out only when `a` is made."""
    graph = Graph([job("a", 5), job("child", 5, "a"), job("other", 4)])
    assert makespan(graph, Cluster(nodes=1, cores=4)) == 10
    assert begun(graph, schedule(graph, Cluster(nodes=1, cores=4, at_a_time=2)))["other"] == 5


@pytest.mark.parametrize(
    ("nodes", "cores", "gpus", "share", "expected"),
    [(1, 16, 1, 0.25, 6), (1, 3, 1, 0.25, 9), (2, 16, 1, 0.25, 3), (1, 16, 2, 0.4, 6), (1, 16, 1, 1.0, 24)],
)
def test_trainings_have_a_core_and_a_share_of_one_gpu_each(
    nodes: int, cores: int, gpus: int, share: float, expected: float
) -> None:
    graph = Graph([job(str(i), 3, on_gpu=True) for i in range(8)])
    assert makespan(graph, Cluster(nodes=nodes, cores=cores, gpus=gpus, share=share)) == expected


def test_jobs_for_cores_leave_those_to_gpus_where_they_can() -> None:
    """Four cores and two shares: two jobs for a core begin beside two on the GPU, and the third waits."""
    graph = Graph([*(job(f"core{i}", 10) for i in range(3)), *(job(f"gpu{i}", 5, on_gpu=True) for i in range(2))])
    found = schedule(graph, Cluster(nodes=1, cores=4, gpus=1, share=0.5))
    assert begun(graph, found) == {"core0": 0, "core1": 0, "core2": 0, "gpu0": 0, "gpu1": 5}
    spread = schedule(graph, Cluster(nodes=2, cores=3, gpus=1, share=1.0))
    assert spread.makespan == 10 and spread.busy == 10 and spread.at_once == 2


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="1 machine with 4 cores: no GPU, but 'train' needs one"):
        schedule(Graph([job("train", 3, on_gpu=True)]), Cluster(nodes=1, cores=4))


def test_a_stack_ends_as_a_whole_and_takes_the_sum_of_its_shares() -> None:
    """Shares of 5 s in stacks of 20 s: four take 20 s, two and a short one take 20 s as well, no less than by the clock."""
    stacked = Time(seconds=5, wall=20)
    graph = Graph([*(job(str(i), 5, time=stacked, cost=9) for i in range(6)), job("after", 1, "0")])
    found = schedule(graph, Stacks(most=4))
    assert found.makespan == 40 and begun(graph, found)["after"] == 20
    assert found.utilisation == pytest.approx((20 * 4 + 20 * 3) / (40 * 4))
    assert makespan(graph, Stacks(most=1)) == 121, "one after another, none with company"


def test_a_parent_must_stand_before_its_child() -> None:
    with pytest.raises(ValueError, match="job 'b': its parent 'a' must stand before it"):
        Graph([job("b", 1, "a"), job("a", 1)])


# ---- within bounds


@st.composite
def graphs(draw: st.DrawFn, *, chained: bool = True) -> Graph:
    jobs = []
    for i in range(draw(st.integers(1, 12))):
        parents = draw(st.sets(st.integers(0, i - 1), max_size=2)) if i and chained else ()
        cost, there = draw(st.integers(0, 5)), draw(st.integers(0, 7)) == 0
        more = {"cost": cost, "missing": not there}
        jobs.append(job(str(i), draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 8.0])), *map(str, sorted(parents)), **more))
    return Graph(jobs)


def places(n: int) -> list[Machines]:
    return [Workers(cores=n), Cluster(nodes=n, cores=1), Cluster(nodes=1, cores=n)]


@few
@given(graphs(), st.integers(1, 5))
def test_between_the_longest_chain_and_grahams_bound(graph: Graph, n: int) -> None:
    """Graham 1966: a list schedule on n places takes at most work / n + (1 - 1/n) of the longest chain."""
    chain = graph.chain.seconds
    assert chain is not None
    for machines in places(n):
        found = schedule(graph, machines)
        assert max(chain, graph.seconds / n) <= found.makespan <= graph.seconds / n + (1 - 1 / n) * chain + 1e-9
        assert found.makespan <= graph.seconds and not any(map(math.isnan, found.begun))
        assert found.busy == pytest.approx(graph.seconds)


@few
@given(graphs(), st.integers(1, 4))
def test_children_wait_and_places_hold_no_more_than_they_can(graph: Graph, n: int) -> None:
    for machines in [*places(n), Stacks(most=n)]:
        found = schedule(graph, machines)
        ends = {job.key: end for job, end in zip(graph.missing, found.ended, strict=True)}
        for each, start in zip(graph.missing, found.begun, strict=True):
            assert all(ends.get(parent, 0) <= start for parent in each.parents)
        for moment in found.begun:
            assert sum(a <= moment < b for a, b in zip(found.begun, found.ended, strict=True)) <= n


@few
@given(graphs())
def test_with_a_place_for_each_job_the_longest_chain_is_all(graph: Graph) -> None:
    for machines in places(len(graph.jobs)):
        assert makespan(graph, machines) == graph.chain.seconds


@few
@given(graphs(chained=False), st.integers(1, 6))
def test_one_more_place_never_takes_longer_where_nothing_waits(graph: Graph, n: int) -> None:
    """With chains it may: Graham's anomalies."""
    for fewer, more in zip(places(n), places(n + 1), strict=True):
        assert makespan(graph, more) <= makespan(graph, fewer)


@few
@given(graphs(), st.integers(1, 3))
def test_enough_is_near_the_best_and_one_fewer_is_not(graph: Graph, cores: int) -> None:
    def on(nodes: int) -> float:
        return makespan(graph, Cluster(nodes=nodes, cores=cores))

    most = max(1, len(graph.missing))
    found = enough(on, most)
    assert found.best == on(most) and found.seconds == on(found.nodes) <= (1 + WITHIN) * found.best
    assert found.nodes == 1 or on(found.nodes - 1) > (1 + WITHIN) * found.best


# ---- the same as the plan's own loop


class Virtual:
    """An executor and its store, whose time is not real: steps are made when `collect` comes to their end."""

    def __init__(self, graph: Graph, n: int, *, ahead: int = 0) -> None:
        self.graph, self.n, self.ahead, self._most = graph, n, bool(ahead), ahead
        self.made = {key for key, job in graph.jobs.items() if not job.missing}
        self.now, self.begun, self.handed = 0.0, dict[str, float](), dict[str, float]()

    # the store
    def has(self, key: str) -> bool:
        return key in self.made

    intact = has

    def try_lock(self, key: str) -> Any:
        return contextlib.nullcontext(True)

    # the executor
    @property
    def running(self) -> list[Any]:
        return [self.steps[key] for key in self.handed if key not in self.made]

    @property
    def free(self) -> int:
        return (self._most or self.n) - len(self.running)

    def start(self, step: Any) -> None:
        self.handed[step.key] = self.now  # then, or when its parents are made
        self._begin()

    def _begin(self) -> None:
        """A cluster's own order: first who could begin first."""
        able = [k for k in self.handed if k not in self.begun and self.made.issuperset(self.graph.jobs[k].parents)]
        for key in able:
            ends = [self._end(parent) for parent in self.graph.jobs[key].parents if parent in self.begun]
            self.handed[key] = max([self.handed[key], *ends])
        at_work = [k for k in self.begun if k not in self.made]
        place = {job.key: i for i, job in enumerate(self.graph.missing)}
        for key in sorted(able, key=lambda k: (self.handed[k], place[k]))[: self.n - len(at_work)]:
            self.begun[key] = self.now

    def _end(self, key: str) -> float:
        time = self.graph.jobs[key].time
        assert time is not None
        return self.begun[key] + time.wall

    def collect(self) -> dict[str, str]:
        at_work = [key for key in self.begun if key not in self.made]
        self.now = min(map(self._end, at_work))
        self.made |= {key for key in at_work if self._end(key) == self.now}
        if self.ahead:
            self._begin()
        return {}

    def close(self) -> None:
        pass

    def run(self, patch: pytest.MonkeyPatch) -> dict[str, float]:
        """When each step begins, by the plan's loop."""
        known: dict[str, Any] = {}
        for key, each in self.graph.jobs.items():
            parents = tuple(known[parent] for parent in each.parents)
            known[key] = SimpleNamespace(key=key, label=key, cost=each.cost, parents=parents)
        self.steps = known
        plan: Any = Plan(known.values())
        made: Callable[..., Any] = lambda *_, **__: self  # noqa: E731
        for name in ("Pool", "Inline"):
            patch.setattr(f"capbench.pipeline.plan.{name}", made)
        patch.setitem(sys.modules, "capbench.pipeline.executors.on_ray.executor", SimpleNamespace(RayExecutor=made))  # type: ignore[arg-type]
        assert plan.run(self, jobs=self.n, ray=RayCluster() if self.ahead else None) == {}
        return self.begun


@few
@given(graphs(), st.integers(1, 4))
def test_a_machines_processes_begin_steps_when_the_plan_would_hand_them_out(graph: Graph, n: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert Virtual(graph, n).run(patch) == begun(graph, schedule(graph, Workers(cores=n)))


@few
@given(graphs(), st.integers(1, 4), st.integers(1, 6))
def test_a_cluster_is_handed_what_the_plan_would_submit(graph: Graph, n: int, ahead: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = Virtual(graph, n, ahead=ahead).run(patch)
    assert begun(graph, schedule(graph, Cluster(nodes=n, cores=1, at_a_time=ahead))) == expected


# ---- more methods, and words


def test_further_methods_share_what_no_method_is_in() -> None:
    """A base of 10 s, for each of four methods a fine-tuning of 2 s and a revival of 3 s: 10 + 4 * 5 s of work."""

    def of(method: str) -> Graph:
        return Graph([job("base", 10), job(method, 2, "base"), job(f"{method} revived", 3, method)])

    graph = with_further(of("mine"), [of("another")], 3)
    assert len(graph.jobs) == 9 and graph.seconds == 30 and graph.chain.seconds == 15
    assert makespan(graph, Workers(cores=4)) == 15 and makespan(graph, Workers(cores=1)) == 30
    two = with_further(of("mine"), [of("another"), Graph([job("base", 10), job("quick", 1, "base")])], 3)
    assert two.seconds == 10 + 5 + 5 + 1 + 5


def said(graph: Graph, machines: Machines, cores: int = 1) -> str:
    return "\n".join(lines(outcome({"all": graph}, machines, Cluster(nodes=1, cores=cores))))


def test_a_simulation_in_words() -> None:
    """140 s on two cores, 80 s at best, which four machines of a core take."""
    graph = Graph([job("root", 20, size=1e6), *(job(name, 60, "root", size=1e6) for name in "abcd")])
    words = said(graph, Workers(cores=2))
    assert "simulated: one machine, 2 cores\n5 models, 0 there, 5 to make (260 training steps)\nroom: 5 MB\n" in words
    assert (
        "work: 0.0722 core hours\ntime: 2 min; 93 % at work\n" in words and "longest chain: 80 s: root -> a\n" in words
    )
    assert "more than 4 such machines gain nothing: 80 s, within 5 % of the best (80 s)" in words


def test_what_is_not_known_is_said_and_takes_no_time() -> None:
    partly = said(Graph([job("known", 120), job("new", None, left=7)]), Workers(cores=1))
    assert "work: 0.0333 core hours, and that of 1 training (7 steps) unlike all in the cache, as 'new'" in partly
    assert "time: more than 2 min" in partly and "room: unknown" in partly
    nothing = said(Graph([job("a", None, left=7), job("b", None, "a", left=5)]), Workers(cores=1))
    assert "work: unknown: 2 trainings (12 steps) unlike all in the cache, as 'a'" in nothing and "time" not in nothing
    assert nothing.endswith("all: 2 models, the longest chain 12 training steps: a -> b")


def test_nothing_is_simulated_where_all_is_there() -> None:
    words = said(Graph([job("a", 5, missing=False)]), Workers(cores=1))
    assert words.splitlines()[1:] == [
        "1 model, 1 there, 0 to make (0 training steps)",
        "nothing is to be made; with --empty-cache, what the cache holds is made, too",
    ]


def test_a_cluster_that_is_handed_too_few_steps_is_told() -> None:
    """Each of 300 could have a machine; 200 at a time take twice as long. As the executor hands them out, none waits."""
    graph = Graph([job(str(i), 60) for i in range(300)])
    few = Cluster(nodes=2, cores=1, at_a_time=200)
    words = "\n".join(lines(outcome({"all": graph}, few, few)))
    assert "gain nothing: 2 min, within 5 % of the best (2 min)\n" in words
    assert "the longest chains take 60 s: such a cluster is handed 200 steps at a time" in words
    assert "more than 300 such machines gain nothing: 60 s, within 5 % of the best (60 s)\nnot" in said(
        graph, Workers(cores=1)
    )
