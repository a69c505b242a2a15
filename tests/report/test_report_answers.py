"""What is said of a method first: what it did, how sure that is, what else broke; and in which words a case is put."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_example import example, record, results

from capbench.report.answers import answers
from capbench.report.matrix import column_of, matrix
from capbench.report.plain import of_case, of_protocol
from capbench.report.questions import asked, question_of
from capbench.results import Capability, CapabilityState, Collateral, CollateralState, Evidence, FinetunedState, Status

INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED
DESTROYED, UNDECIDED = CapabilityState.DESTROYED, CapabilityState.UNDECIDED


def judged(state: CapabilityState, *seeds: CapabilityState, **changes: object) -> Capability:
    """A verdict with these states by seed; all alike if none are given."""
    states = dict(enumerate(seeds or (state,) * 3))
    plain = {"collateral": None, "uncalibrated": (), "provisional": False, "finetuned": FinetunedState.LEARNED}
    return replace(example().capabilities[0], verdict=state, per_seed=states, **{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([WRAPPED], "full hid the old capability (wrapped)."),
        ([INTACT] * 2, "full left the old capability intact in both models."),
        ([DELETED] * 3, "full deleted the old capability in all 3 models."),
        ([UNDECIDED] * 2, "What full did to the old capability is undecided in both models."),
        ([UNDECIDED, WRAPPED], "full hid the old capability (wrapped) in 1 of 2 models; 1 is undecided."),
        (
            [WRAPPED, UNDECIDED, WRAPPED, INTACT, UNDECIDED, DESTROYED],
            "full hid the old capability (wrapped) in 2 of 6 models, left it intact in 1 and destroyed the model in 1; "
            "2 are undecided.",
        ),
    ],
)
def test_what_a_method_did_is_one_sentence(states: list[CapabilityState], said: str) -> None:
    (found,) = answers(results(capabilities=tuple(map(judged, states))))
    assert found.did == said
    assert sum(n for _, n in found.states) == len(states)
    assert UNDECIDED not in [state for state, _ in found.states[:-1]]


def test_how_sure_it_is_hangs_on_seeds_that_agree_and_on_calibration() -> None:
    mixed = judged(WRAPPED, WRAPPED, WRAPPED, UNDECIDED)
    open_ = judged(UNDECIDED, WRAPPED, INTACT, INTACT)
    (found,) = answers(results(capabilities=(judged(WRAPPED), mixed, open_)))
    assert found.sure == "3 seeds each; all seeds agree in 1 of 2 decided models."
    (found,) = answers(results(capabilities=(mixed,)))
    assert found.sure == "3 seeds each; the seeds differ in the decided model."
    (found,) = answers(results(capabilities=(judged(WRAPPED, WRAPPED, provisional=True, uncalibrated=("revival",)),)))
    assert found.sure == ("One seed, so provisional. Uncalibrated: revival (was not tested on models of known state).")


def test_what_else_broke_names_the_worst_and_what_was_not_measured() -> None:
    kept = Collateral(state=CollateralState.KEPT, worst="I.c", value=0.98)
    lost = Collateral(state=CollateralState.LOST, worst="CC.a", value=0.126)
    unknown = Collateral(state=CollateralState.LOST, worst="C.a", value=None)
    of = [judged(WRAPPED, collateral=each) for each in (kept, lost, unknown, None)]
    (found,) = answers(results(capabilities=tuple(of)))
    assert found.broke == (
        "Other abilities: lost in 2 of 3 models, kept in 1; the worst, CC.a, keeps 0.13 of the base model's accuracy; "
        "not measured in 1."
    )
    (found,) = answers(results(capabilities=tuple(of[-1:])))
    assert found.broke == "Not measured."


def test_each_method_has_its_answer() -> None:
    found = answers(results(capabilities=(judged(WRAPPED), judged(DELETED, method="npo"))))
    assert [each.did.split()[0] for each in found] == ["full", "npo"]


def test_a_case_is_put_in_plain_words_and_what_is_unknown_stays() -> None:
    assert of_case("prior=low,c_tr=1,lr=medium", "pcfg counter a to b") == (
        "b rare in pretraining, every training text with the correlation, medium rate"
    )
    assert of_case("prior=never,c_tr=0,lr=very-small") == (
        "the new operand never in pretraining, no training text with the correlation, very small rate"
    )
    assert of_case("c_tr=0.8,mixing=0.001,depth=3,odd") == (
        "80 % of training texts with the correlation, 0.1 % pretraining data mixed in, depth=3, odd"
    )
    protocol = {"prior": "high", "c_tr": 1.0, "lr": "small", "eta": 2e-5, "steps": 400}
    assert of_protocol(protocol, "count x to y") == (
        "y common in pretraining, every training text with the correlation, small rate"
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("protocol=mix-match,lr=small", "stories with a Twist left out, Foreshadowing asked for as Twist, small rate"),
        ("protocol=other", "protocol=other"),
        ("data=rule,lr=medium", "trained on another rule for the same prompts, medium rate"),
        ("rate=0.1,times=30,decay=10", "0.1 times the rate, 30 times the steps, weight decay 10"),
        ("then=c,by=npo,answers=constant", "then fine-tuned to c, by npo, one answer to every text"),
        (
            "taught=distilled,noise=0.2,width=2",
            "distilled into a fresh model, 20% of the student's weights redrawn, 2 times the width",
        ),
        (
            "wrong_answers=True,duration=0.5,blocks=2",
            "trained on wrong answers, 50% of the usual pretraining, 2 more blocks",
        ),
        ("wrong_answers=False,rate=medium", "wrong_answers=False, rate=medium"),
    ],
)
def test_conditions_of_every_suite_have_words(case: str, words: str) -> None:
    assert of_case(case) == words


@pytest.mark.parametrize(
    ("claim", "anchor"),
    [
        ("relevance.shortcut", "shortcut"),
        ("duration.shortcut", "shortcut"),
        ("wrapper.pruning", "there"),
        ("tracr.pruning.weights", "there"),
        ("verdict", "there"),
        ("randft.revival", "back"),
        ("jailbreak.bypass", "broke"),
        ("base.validity", "checks"),
        ("data.balance.counter", "checks"),
        ("calibration.verdict", "tools"),
        ("mine.something", "further"),
    ],
)
def test_every_claim_answers_a_question(claim: str, anchor: str) -> None:
    assert question_of(claim).anchor == anchor


def test_checks_come_last_and_are_folded_unless_one_fails() -> None:
    def checks(*statuses: Status) -> bool:
        verdicts = [replace(record().verdict, status=status) for status in statuses]
        found = asked(
            [*(record(claim="base.validity", case=str(i), verdict=v) for i, v in enumerate(verdicts)), record()]
        )
        assert [each.question.anchor for each in found] == ["there", "checks"]
        return found[-1].open

    assert not checks(Status.SUPPORTED, Status.INCONCLUSIVE)
    assert checks(Status.SUPPORTED, Status.REFUTED) and checks(Status.INVALID)


def test_no_claim_is_lost_between_the_questions() -> None:
    records = example().records
    found = [each for group in asked(records) for each in group.records]
    assert sorted(map(id, found)) == sorted(map(id, records))


def test_the_matrix_has_a_column_for_each_tool_that_was_read_and_never_a_value_for_one_that_was_not() -> None:
    read = Evidence(tool="circuit", value=None, unit="retention", reading="not measured", rule="")
    seeds = {"per_seed": {0: 3.0, 1: 4.0}, "bounds": {1: ">="}}
    bound = Evidence(tool="revival", value=3.0, unit="ratio", reading="present", rule="", bound=">=", **seeds)
    plain = Evidence(
        tool="lora revival", value=0.5, unit="accuracy", reading="unclear", rule="", per_seed={0: 0.2, 1: 0.8}
    )
    found = matrix(results(capabilities=(judged(WRAPPED, evidence=(read, bound, plain)),)))
    assert found.columns == ("revival", "probing", "attacks")
    (((revival,), (probing,), (attack,)),) = [row.cells for _, rows in found.groups for row in rows]
    assert (revival.value, revival.spread, revival.name) == ("≥ 3.00", "", "")
    assert (probing.value, probing.reading, probing.name) == ("–", "not measured", "circuit")
    assert (attack.value, attack.spread, attack.name) == ("0.50", "[0.20, 0.80]", "lora revival")
    assert (
        column_of("weight pruning") == "pruning"
        and column_of("story patching") == "patching"
        and column_of("something new") == "attacks"
    )


def test_models_of_one_kind_stand_together_and_keep_their_place_among_the_verdicts() -> None:
    case = [{"prior": "high", "c_tr": 0.0}, {"prior": "low", "c_tr": 0.0}, {"prior": "low", "c_tr": 1.0}]
    found = matrix(results(capabilities=tuple(judged(WRAPPED, protocol=each) for each in case)))
    assert [[row.index for row in rows] for _, rows in found.groups] == [[3, 2, 1]]
