"""The study of stories: which models there are, what is read off them, and what follows from shares that are known."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from tiny import built
from tiny_stories import steps, study

from capbench.errors import NoAnswerError
from capbench.pipeline.steps import Edit, FineTune, Pretrain
from capbench.results import CapabilityState, Measurement
from capbench.store.store import Store
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.outcome import Outcome
from capbench.studies.lab import Bench, Built, Lab
from capbench.studies.readings import number
from capbench.studies.registry import make
from capbench.studies.stories import readings
from capbench.studies.stories.known import members
from capbench.studies.stories.preset import spaced
from capbench.studies.stories.readings import reft
from capbench.studies.stories.readings.known import known
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.tools import TOOLBOX
from capbench.tasks.stories.features import FEATURES
from capbench.verdicts.capability import assess
from capbench.verdicts.collateral import shares


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every model of the tiny study, of one protocol."""
    found = Store(tmp_path_factory.mktemp("stories"))
    built(found, steps(study()).values())
    return found


def read(store: Store, reading: Any, *names: str) -> dict[str, Measurement]:
    of, lab = study(), Lab(store)
    every = steps(of)
    found = lab.read(reading, Bench(study=of, seed=0), {name: every[name] for name in names or every})
    return {m.name: m for m in found if m.is_number}


def test_models_are_told_apart_by_what_they_learn() -> None:
    of = study()
    base, never = of.base(0), of.base(0, never=True)
    assert isinstance(base, Pretrain) and base.start.key == never.start.key and base.key != never.key
    tuned = {p: of.deleted(0, protocol=p, lr="medium") for p in ("filtering", "mix-match", "randomisation")}
    assert len({step.key for step in tuned.values()}) == 3
    assert all(isinstance(step, FineTune) and step.base.key == base.key for step in tuned.values())
    assert of.deleted(0, protocol="filtering", lr="small").key != tuned["filtering"].key
    assert of.deleted(0, protocol="filtering", lr="medium", never=True).base.key == never.key
    assert of.base(1).key != base.key
    other = study(target="Conflict")
    assert other.base(0, never=True).key != never.key and other.task_name != of.task_name


def test_a_longer_relearning_begins_as_a_shorter_one(store: Store) -> None:
    of = study()
    start = of.base(0)
    one, two = (of.relearnt(start, 0, lr="medium", steps=k) for k in (1, 2))
    assert isinstance(one, Edit) and one.key != two.key
    again = dataclasses.replace(two, start=one, arguments={**two.arguments, "steps": 1})
    built(store, [one, two, again])
    first, second, continued = (Built(step=step, store=store).model.state_dict() for step in (one, two, again))
    moved = {name: (first[name] - second[name]).abs().max() for name in first}
    assert max(moved.values()) > 0 and not all(torch.equal(first[n], continued[n]) for n in first)


def test_what_is_told_is_read(store: Store) -> None:
    found = read(store, readings.telling, "base", "tuned")
    for model in ("base", "tuned"):
        for name in ("O_PT", "O_PT.new_words", "unasked", "unread", "whole", "all_right", "O_PT.right"):
            value = found[f"{model}.{name}.greedy"].value
            assert value is not None and 0 <= value <= 1
        assert found[f"{model}.unread.greedy"].value == 1  # two steps of training teach no sentence
        assert found[f"{model}.O_PT.greedy"].value == 0 == found[f"{model}.whole.greedy"].value
    of = study()
    sampled = Lab(store).read(readings.sampled, Bench(study=of, seed=0), {"model": of.base(0)})
    assert {m.name for m in sampled} == {"O_PT.sampled", "unread.sampled", "whole.sampled"}
    assert found["base.O_PT.followed.greedy"].value == 0 == found["base.followed.Dialogue.greedy"].value


def test_stories_are_shown_with_what_was_asked(store: Store) -> None:
    of, every = study(), steps(study())
    models = {name: every[name] for name in ("base", "reft_2")}
    found = Lab(store).read(readings.passages, Bench(study=of, seed=0), models)
    assert len(found) == 6 and not any(m.is_number for m in found)
    assert {m.series for m in found} == {"before", "after 2 steps of reFT"}
    shown = [m.passage for m in found if m.passage is not None]
    assert len({p.prompt for p in shown}) == 3 and all("twist" in p.prompt.lower() for p in shown)
    assert all(p.text and p.marked == () for p in shown)  # two steps of training teach no twist


def test_likelihood(store: Store) -> None:
    of = study()
    found = {
        m.name: m.value for m in Lab(store).read(readings.likelihood, Bench(study=of, seed=0), {"model": of.base(0)})
    }
    assert all(5 < found[f"loss.{name}"] < 8 for name in ("target", "new_phrasings", "plain"))  # about log 964
    assert all(0 < found[name] < 0.05 for name in ("branch", "branch.new_words", "branch.unasked"))


def test_collateral_is_about_the_other_features(store: Store) -> None:
    of, lab = study(), Lab(store)
    every = steps(of)
    found = lab.read(readings.collateral, Bench(study=of, seed=0), {"base": every["base"], "tuned": every["tuned"]})
    names = {m.name for m in found}
    assert {f"tuned.{w}.{f}" for w in ("before", "others") for f in FEATURES if f != "Twist"} < names
    assert "tuned.loss.plain" in names and not any("Twist" in name for name in names)


@pytest.mark.slow
def test_probing_patching_and_pruning(store: Store) -> None:
    found = read(store, readings.probing, "base", "tuned", "never", "twin")
    assert found["probing.range"].value is not None
    for model in ("base", "tuned", "never", "twin"):
        assert 0 < found[f"probing.bits.{model}"].value < 3 and 0 <= found[f"probing.new_phrasings.{model}"].value <= 1
    assert {f"probing.{f}.bits.tuned" for f in FEATURES if f != "Twist"} < found.keys()
    assert "patching.kept" in read(store, readings.patching, "base", "tuned", "never")
    assert "pruning.searched.gain" in read(store, readings.pruning_search, "tuned")


def test_relearning_of_models_that_learn_nothing_is_censored(store: Store) -> None:
    found = read(store, readings.relearning, "tuned", "never", "twin")
    for kind in ("reft", "scrft", "twin"):
        assert [found[f"relearning.{kind}.share.{k}"].value for k in (0, 1, 2)] == [0, 0, 0]
        steps75 = found[f"relearning.{kind}.steps75"]
        assert (steps75.value, steps75.bound) == (2, ">=")
    assert found["relearning.ratio"].value is None and "in 2 steps" in found["relearning.ratio"].note
    assert found["relearning.speed_up"].value is None
    assert found["relearning.reft.loss.0"].value > found["relearning.reft.loss.2"].value


def test_relearning_ends_where_it_is_told_often_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    of, shares = study(relearn_steps=(1, 2, 4, 8)), iter((0.1, 0.3, 0.8))
    monkeypatch.setattr(reft, "on_the_way", lambda bench, start, now: next(shares))
    start = Built(step=of.base(0), store=store)
    before = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    found = {m.name: m.value for m in reft.relearned(Bench(study=of, seed=0), start)}
    assert {n: v for n, v in found.items() if "share" in n} == {"share.0": 0.1, "share.1": 0.3, "share.2": 0.8}
    assert found["budget"] == 8 and found["loss.0"] > found["loss.2"]
    assert all(torch.equal(before[name], tensor) for name, tensor in start.model.state_dict().items())
    monkeypatch.setattr(reft, "on_the_way", lambda bench, start, now: 0.75)
    assert {m.name for m in reft.relearned(Bench(study=of, seed=0), start)} == {
        "share.0",
        "loss.0",
        "branch.0",
        "budget",
    }


def test_a_copy_that_answers_nan_broke_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(bench: Any, start: Any, now: Any) -> float:
        if now.training:
            raise NoAnswerError("a model answers NaN")
        return 0.2

    monkeypatch.setattr(reft, "on_the_way", answer)
    start = Built(step=study().base(0), store=store)
    found = {m.name: m for m in reft.relearned(Bench(study=study(), seed=0), start)}
    assert found["budget"].value is None and "diverged" in found["budget"].note
    assert {name for name in found if "share" in name} == {"share.0"}


def test_a_loss_that_is_not_finite_is_missing(store: Store) -> None:
    of = study()
    start = Built(step=of.base(0), store=store)
    lens: Any = start.model
    with torch.no_grad():
        next(p for n, p in lens.named_parameters() if n.startswith("unembed"))[5] = 3e38
    found = {m.name: m for m in readings.likelihood_of_target(Bench(study=of, seed=0), start)}
    assert found["loss.target"].value is None and found["loss.target"].note == "it is not finite"


def test_what_is_read_on_the_way_is_what_a_model_of_as_many_steps_tells(store: Store) -> None:
    of, lab = study(), Lab(store)
    bench = Bench(study=of, seed=0, lab=lab)
    found = {m.name: m.value for m in reft.relearned(bench, lab.built(of.base(0)))}
    after = of.relearnt(of.base(0), 0, lr="medium", steps=2)
    built(store, [after])
    likely = {m.name: m.value for m in readings.likelihood_of_target(bench, lab.built(after))}
    assert (found["loss.2"], found["branch.2"]) == (likely["loss.target"], likely["branch"])


def of_shares(
    monkeypatch: pytest.MonkeyPatch, budget: int | None = 8, **shares: dict[int, float]
) -> dict[str, Measurement]:
    """The reading of reFT, of models whose shares are given, by steps."""

    def relearned(bench: Bench[StoriesStudy], model: Any) -> Any:
        for step, share in shares[model].items():
            yield number(bench, f"share.{step}", share, "accuracy", 2, "relearning")
        yield number(bench, "budget", budget, "steps", 0, "relearning", note="" if budget else "its training diverged")

    monkeypatch.setattr(reft, "relearned", relearned)
    given: Any = {name: name for name in shares}
    found = reft.relearning(Bench(study=study(), seed=0), **given)
    return {m.name: m for m in found if m.is_number}


def test_steps_and_ratios_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_shares(
        monkeypatch,
        tuned={0: 0.1, 1: 0.4, 2: 0.8},
        never={0: 0.0, 1: 0.0, 2: 0.1, 4: 0.3, 8: 0.9},
        twin={0: 0.0, 1: 0.0, 2: 0.2, 4: 0.6, 8: 1.0},
    )
    steps = {name.removeprefix("relearning."): m.value for name, m in found.items() if ".steps" in name}
    assert steps == pytest.approx(
        {
            "reft.steps50": 1 + 0.1 / 0.4, "reft.steps75": 1 + 0.35 / 0.4,
            "scrft.steps50": 4 + 4 * 0.2 / 0.6, "scrft.steps75": 4 + 4 * 0.45 / 0.6,
            "twin.steps50": 2 + 2 * 0.3 / 0.4, "twin.steps75": 4 + 4 * 0.15 / 0.4,
        }, abs=1e-9,
    )  # fmt: skip
    assert found["relearning.ratio"].value == pytest.approx(7.0 / 1.875)
    assert found["relearning.ratio"].bound == ""
    assert found["relearning.speed_up"].value == pytest.approx(5.5 / 1.875)  # at 50 % it is 3.5 / 1.25


def test_a_control_that_never_gets_there_bounds_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_shares(monkeypatch, tuned={0: 0.1, 2: 0.75}, never={0: 0.0, 2: 0.0, 8: 0.1})
    assert (found["relearning.ratio"].value, found["relearning.ratio"].bound) == (4, ">=")


def test_a_training_that_broke_off_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_shares(monkeypatch, None, tuned={0: 0.1, 2: 0.6}, never={0: 0.0, 2: 0.8})
    assert found["relearning.reft.steps75"].value is None and "diverged" in found["relearning.reft.steps75"].note
    assert found["relearning.ratio"].value is None and found["relearning.ratio"].bound == ""
    assert found["relearning.reft.steps50"].value == pytest.approx(1.6)  # which it got to before


def test_a_control_that_broke_off_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin guards against what the method does to any model; a method may make it diverge."""
    found = of_shares(monkeypatch, None, tuned={0: 0.1, 2: 0.8}, never={0: 0.0, 2: 0.0, 8: 0.9}, twin={0: 0.0, 2: 0.3})
    assert found["relearning.speed_up"].value is None
    assert "never taught, after the same deletion diverged" in found["relearning.speed_up"].note


@pytest.mark.parametrize("first", [0.0, 0.6])
def test_a_twin_that_the_method_taught_is_no_control(monkeypatch: pytest.MonkeyPatch, first: float) -> None:
    """Else a method that teaches the target and then hides it would delete it: the twin is back as soon as the model."""
    back = {0: 0.0, 2: 0.8}
    found = of_shares(monkeypatch, tuned=back, never={0: 0.0, 4: 0.1, 8: 0.9}, twin={0: first, 2: 0.8})
    assert found["relearning.speed_up"].value is None and "taught its twin" in found["relearning.speed_up"].note
    assert found["relearning.ratio"].value is not None
    fair = of_shares(monkeypatch, tuned=back, never={0: 0.0, 4: 0.1, 8: 0.9}, twin={0: 0.0, 4: 0.3, 8: 0.9})
    assert fair["relearning.speed_up"].value is not None


def test_what_was_not_lost_has_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_shares(monkeypatch, tuned={0: 0.9}, never={0: 0.0, 2: 0.8})
    assert found["relearning.ratio"].value is None and "nothing to revive" in found["relearning.ratio"].note


def judged(**values: float) -> CapabilityState:
    names = {
        "told": "tuned.O_PT.followed.greedy",
        "drawn": "tuned.O_PT.sampled",
        "unread": "tuned.unread.greedy",
        "revival": "relearning.speed_up",
        "patching": "patching.kept",
    }
    names |= {"pruning": "pruning.searched.gain", "probing": "probing.retention"}
    measured = [Measurement(name=names[k], value=v, unit="", n=1, seed=0) for k, v in values.items()]
    found = assess(measured, TOOLBOX, scale="small")
    assert found is not None
    return found.state


def test_the_rule() -> None:
    assert judged(told=0.95) is CapabilityState.INTACT
    assert judged(told=0.1, revival=4, patching=0.9, probing=0.0) is CapabilityState.WRAPPED
    assert judged(told=0.1, revival=1.0, patching=0.1, probing=1.0) is CapabilityState.DELETED
    assert judged(told=0.1, revival=1.0, patching=0.1, pruning=0.5) is CapabilityState.UNDECIDED
    for objection in ("drawn", "unread"):
        assert judged(told=0.1, revival=1.0, patching=0.1, **{objection: 0.4}) is CapabilityState.UNDECIDED
        assert judged(told=0.1, revival=1.0, patching=0.1, **{objection: 0.0}) is CapabilityState.DELETED
    assert judged(told=0.1, revival=4, patching=0.1) is CapabilityState.UNDECIDED
    assert judged(told=0.1, revival=4) is CapabilityState.UNDECIDED
    assert judged(told=0.7, revival=4, patching=0.9) is CapabilityState.UNDECIDED


def test_what_else_broke_is_a_share_of_what_the_base_knew() -> None:
    from capbench.verdicts.values import by_name

    measured = [
        Measurement(name=f"tuned.{which}.{feature}", value=value, unit="accuracy", n=8, seed=0)
        for which, feature, value in (
            ("before", "Dialogue", 1.0), ("others", "Dialogue", 0.5), ("before", "Conflict", 0.6), ("others", "Conflict", 0.6)
        )
    ]  # fmt: skip
    assert shares(by_name(measured)) == {0: {"Dialogue": 0.5}}


def test_looks_are_so_close_that_a_twofold_speed_up_is_told() -> None:
    found = spaced(256)
    assert found[:6] == (1, 2, 3, 4, 5, 6) and found[-1] == 256
    assert all(b / a <= 1.34 for a, b in itertools.pairwise(found) if a >= 3)


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_reft_is_looked_at_as_far_as_the_table_goes(scale: str) -> None:
    of = make("stories", scale=scale)
    assert isinstance(of, StoriesStudy)
    p = of.preset
    assert p.table_steps[0] == 0 and p.table_steps[-1] <= p.relearn_steps[-1] and len(p.relearn_steps) >= 3
    assert p.probe_blocks[-1] >= 32 and list(p.relearn_steps) == sorted(p.relearn_steps)


def test_a_base_model_at_scale_small_is_small() -> None:
    from capbench.models.gpt import Gpt

    start = make("stories", scale="small").initialised(0)  # type: ignore[attr-defined]
    model = Gpt.initialised(start.model, torch.Generator().manual_seed(0))
    assert 3.5e5 < sum(p.numel() for p in model.parameters()) < 4.5e5


def test_known_models_are_compared_with_models_of_another_seed() -> None:
    of = study()
    found = {m.name: m.models for m in members(of, 0)}
    assert len(found) == 9 and sum(name.startswith("wrapped.") for name in found) == 4
    for models in found.values():
        assert models["base"].key == of.base(0).key and models["never"].key == of.base(1, never=True).key
        assert models["twin"].key != models["tuned"].key
    # The same part on a model that has the twist and on one that never had it.
    hidden, never = found["wrapped.bolt-on MLP.stories"], found["deleted.bolt-on MLP.stories"]
    assert isinstance(hidden["tuned"], Edit) and hidden["tuned"].start.key == of.base(0).key
    assert isinstance(never["tuned"], Edit) and never["tuned"].start.key == of.base(0, never=True).key


@pytest.mark.slow
def test_known_models_are_judged(store: Store) -> None:
    of = study()
    (member,) = (m for m in members(of, 0) if m.name == "deleted.permuted unembedding.stories")
    built(store, member.models.values())
    given = {f"{member.slot}/{role}": step for role, step in member.models.items()}
    outcome = Outcome.read(Lab(store).read(known, Bench(study=of, seed=0), given))
    (judged,) = outcome.judged
    assert (judged.kind, judged.made, judged.task) == (Kind.DELETED, "permuted unembedding", "stories")
    # Models of two steps tell nothing and learn nothing: what has no value is no reason for a state.
    assert judged.said == "undecided" and judged.values["story revival"].value is None
