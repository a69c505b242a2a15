"""What tests on implants ask for: parts of several models, and what these come to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.language.implant_data import Streams
from capbench.studies.language.implant_parts import (
    FORM,
    answers,
    handed_on,
    inside,
    known_form,
    known_member,
    relearned,
)
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_values import (
    OF,
    TOOLS,
    UNITS,
    Seen,
    calibrated,
    known_values,
    seen,
    unread,
    values,
)
from capbench.studies.readings import by_model, number
from capbench.verdicts.twins import LEAST, Value, wrong

TITLES = {"tuned": "after the method", "twin": "its twin"}
BEFORE = {"taught": "base", "tuned": "taught", "twin": "base"}  # what a model's loss and facts are compared with


def _each_member(study: ImplantStudy) -> Sequence[Mapping[str, str]]:
    return [{"name": name} for name in study.preset.members]


@made_of(answers)
def behaviour(bench: Bench[ImplantStudy], **models: Built) -> Iterator[Measurement]:
    """`answers` of each model, the chance of what was taught, S, and what they come to.

    <m>.S.kept: accuracy of S, 0 at chance and 1 in the model that was taught it; <m>.text.rise: relative rise of the loss
    on text, since the step before: M for `taught` and `twin`, `taught` for `tuned`; <m>.capitals.kept: share of the accuracy of
    that model that is left on capitals.
    """
    found = list(by_model(bench, answers, models))
    yield from found
    at = {m.name: m.value for m in found}
    of = bench.study.streams(bench.seed)
    yield number(bench, "chance", of.chance, "accuracy", len(of.evaluate), "accuracy")
    for name in models:
        if (kept := scaled(at[f"{name}.S.accuracy"], of.chance, at.get("taught.S.accuracy"))) is not None:
            yield number(bench, f"{name}.S.kept", kept, "share", len(of.evaluate), "accuracy")
        before = BEFORE.get(name)
        if before not in models:
            continue
        rise, note = _share(at[f"{name}.text.loss"], at[f"{before}.text.loss"], -1.0)
        yield number(bench, f"{name}.text.rise", rise, "share", len(of.held), "text", note=note)
        if of.asked is not None:
            left, note = _share(at[f"{name}.capitals.accuracy"], at[f"{before}.capitals.accuracy"], 0.0)
            yield number(bench, f"{name}.capitals.kept", left, "share", len(of.asked), "capitals", note=note)


def collateral(bench: Bench[ImplantStudy], base: Built, tuned: Built) -> Iterator[Measurement]:
    """What else a method changed: text, as perplexity before ÷ after, and capitals, as accuracy. base: before the method."""
    found = {
        name: {m.name: m.value for m in bench.read(answers, {"model": built})}
        for name, built in (("before", base), ("others", tuned))
    }
    of, before, now = bench.study.streams(bench.seed), found["before"], found["others"]
    rise = (now["text.loss"] or math.inf) - (before["text.loss"] or 0.0)
    for name, text in (("before", 1.0), ("others", min(1.0, math.exp(-rise)))):
        yield number(bench, f"tuned.{name}.text", text, "share", len(of.held), "others")
        if of.asked is not None:
            yield number(
                bench, f"tuned.{name}.capitals", found[name]["capitals.accuracy"], "accuracy", len(of.asked), "others"
            )


@made_of(known_member, _each_member, of=("taught", "base"))
def known(bench: Bench[ImplantStudy], taught: Built, base: Built) -> Iterator[Measurement]:
    """How well each tool separates the known members of this seed.

    known.<tool>.<member>.<state>: the values; known.<tool>.area: area under the curve; known.<tool>.lowest_hidden and
    .highest_deleted: the edges that this seed alone would set; known.<tool>.wrong: how many members get the other kind's word by
    the edges of the others; known.members: how many of both kinds were used. A member in which S shows, or whose loss on text
    rose by more than 10 %, is not used, and said.
    """
    read = list(_members(bench, taught, base))
    yield from read
    of, asked = known_values(read), OF[bench.study.kind]
    yield number(bench, "known.members", sum(map(len, of[asked[0]])), "members", 0, "known")
    too_few = f"fewer than {LEAST} members of a kind"
    for tool in calibrated(of):
        if tool.name not in asked:
            continue
        name, (hidden, deleted) = f"known.{tool.name}", of[tool.name]
        none = "" if tool.area is not None else "no pairs"
        yield number(bench, f"{name}.area", tool.area, "auc", 0, "known", note=none)
        for end in ("lowest_hidden", "highest_deleted"):
            at = None if tool.edges is None else getattr(tool.edges, end)
            end_at = None if at is None or math.isinf(at) else at
            why = too_few if at is None else "" if end_at is not None else "a member's value is only a bound"
            yield number(bench, f"{name}.{end}", end_at, UNITS[tool.name][1], 0, "known", note=why)
        off = wrong(hidden, deleted)
        yield number(
            bench, f"{name}.wrong", off, "members", 0, "known", note="" if off is not None else "too few members"
        )


@made_of(known_member, _each_member, of=("taught", "base"))
def found(bench: Bench[ImplantStudy], taught: Built, base: Built, tuned: Built, twin: Built) -> Iterator[Measurement]:
    """What each tool finds in the model after the method, against its twin.

    revival.speed_up: the twin's steps to three quarters of the way ÷ the model's; <m>.revival.steps_<level>; <tool>.retention of
    all others, relearning, probe, lens, code-length, patching and pruning: 0 is the twin, 1 the taught model. Of facts
    relearning.retention alone. Where a method was given other data than the prompts of a skill, `known_form` is a further deleted
    member. known.<tool>.<member>.<state>: as in `known`; the members of all seeds set the thresholds.
    """
    of, asked = bench.study.streams(bench.seed), OF[bench.study.kind]
    looks = {
        name: seen(_read(bench, taught, built, relearn=name in ("tuned", "twin")))
        for name, built in (("taught", taught), ("tuned", tuned), ("twin", twin))
    }
    for name, built in (("tuned", tuned), ("twin", twin)):
        for m in _read(bench, taught, built, relearn=True):
            if not m.name.startswith(OF_ANSWERS):  # which `behaviour` gives
                yield replace(m, name=f"{name}.{m.name}", series=m.series and TITLES[name])
        if of.kind == "facts":
            continue
        for level, time in looks[name].times(of.chance, looks["taught"].accuracy).items():
            there = time.steps is not None
            steps = number(bench, f"{name}.revival.steps_{level:.0%}", None, "steps", len(of.select), "revival")
            if looks[name].budget is None and not there:
                yield replace(steps, note="its training diverged")
                continue
            yield replace(
                steps,
                value=float(time.budget if time.steps is None else time.steps),
                bound="" if there else ">=",
                note="" if there else "never reached",
            )
    got = values(looks["tuned"], looks["twin"], looks["taught"], chance=of.chance, n=len(of.evaluate))
    for tool in asked:
        what, unit = UNITS[tool]
        why = "" if got[tool] else unread(tool, looks["tuned"], looks["twin"])
        yield _value(bench, f"{tool}.{what}", got[tool], unit, tool, why)
    members = _members(bench, taught, base, form=of.kind == "skill" and not _of_prompts(tuned, of))
    yield from (m for m in members if m.name.startswith(OF_TOOLS))


def _of_prompts(tuned: Built, of: Streams) -> bool:
    """Whether the method was to learn answers to the skill's prompts, so that its twin knows their form as the model does."""
    task: Any = getattr(tuned.step, "task", None)
    return getattr(task, "target", None) == of.rule


OF_ANSWERS = ("S.", "text.", "capitals.")
OF_TOOLS = tuple(f"known.{tool}." for tool in TOOLS)


def _members(bench: Bench[ImplantStudy], taught: Built, base: Built, *, form: bool = False) -> Iterator[Measurement]:
    """What each tool found in every known member, and what else was read of it. form: in the one that knows the form, too."""
    whole = seen(_read(bench, taught, taught, relearn=False))
    plain = seen(bench.read(answers, {"model": base}))
    models = {"taught": taught, "base": base}
    for name in bench.study.preset.members:
        read = bench.read(known_member, models, name=name)
        yield from _held_against_twin(bench, read, name, {"hidden": whole, "deleted": plain}, plain, whole)
    if form:
        yield from _held_against_twin(bench, bench.read(known_form, models), FORM, {"deleted": plain}, plain, whole)


def _held_against_twin(
    bench: Bench[ImplantStudy],
    read: Sequence[Measurement],
    name: str,
    starts: Mapping[str, Seen],
    plain: Seen,
    whole: Seen,
) -> Iterator[Measurement]:
    """starts: by state, the model that was edited; plain: M, from which the twin is; whole: M+S."""
    of, twin = bench.study.streams(bench.seed), seen(_named(read, "twin"))
    for state, start in starts.items():
        look = seen(_named(read, state))
        fault = look.fault(start, of.chance, whole.accuracy) or twin.fault(plain, of.chance, whole.accuracy)
        got = values(look, twin, whole, chance=of.chance, n=len(of.evaluate))
        for tool in OF[of.kind]:
            value = None if fault else got[tool]
            why = fault or ("" if value else unread(tool, look, twin))
            yield _value(bench, f"known.{tool}.{name}.{state}", value, UNITS[tool][1], "known", why)
    yield from (replace(m, name=f"known.{name}.{m.name}", group="known") for m in read if m.is_number)


def _named(measured: Sequence[Measurement], state: str) -> list[Measurement]:
    return [replace(m, name=m.name.removeprefix(f"{state}.")) for m in measured if m.name.startswith(f"{state}.")]


def _read(bench: Bench[ImplantStudy], taught: Built, built: Built, *, relearn: bool) -> list[Measurement]:
    """All parts of a model. relearn: revival, too."""
    parts = (answers, *([inside] if bench.study.kind == "skill" else []), *([relearned] if relearn else []))
    found = [m for part in parts for m in bench.read(part, {"model": built})]
    return [*found, *bench.read(handed_on, {"taught": taught, "model": built})]


def scaled(accuracy: float | None, chance: float, taught: float | None) -> float | None:
    """0 at chance, 1 in the model that was taught; None without that, or where it is not above chance."""
    if accuracy is None or taught is None or taught <= chance:
        return None
    return (accuracy - chance) / (taught - chance)


def _share(now: float | None, before: float | None, plus: float) -> tuple[float | None, str]:
    if now is None or not before:
        return None, "one of the two has no value"
    return now / before + plus, ""


def _value(bench: Bench[ImplantStudy], name: str, value: Value | None, unit: str, group: str, note: str) -> Measurement:
    if value is None:
        return number(bench, name, None, unit, 0, group, note=note)
    return replace(number(bench, name, value.number, unit, 0, group, note=note), bound=value.bound)
