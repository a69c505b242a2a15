"""Parts of the implant study's readings: what is read of one model, and kept for it, whoever asks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.language.implant_data import few
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_values import KNOWN, PUT_IN
from capbench.studies.readings import accuracy_number, curve_of, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.models.base import Model

FORM = "form of the prompts"  # the name of a deleted member


def answers(bench: Bench[ImplantStudy], model: Built) -> Iterator[Measurement]:
    """S.accuracy: of what was taught, on the prompts to evaluate, which of a skill are held out; text.loss: nats per token of

    held-out text; capitals.accuracy: of capitals, where they are asked.
    """
    yield from _answers(bench, model.model)


def inside(bench: Bench[ImplantStudy], model: Built) -> Iterator[Measurement]:
    """probe.accuracy, lens.accuracy: what a probe fitted on few prompts, and the model's own unembedding, read off the stream.

    code-length.bits: per answer, at the probe's layer. pruning.accuracy: after pruning the neurons that suppress the answers.
    """
    yield from _inside(bench, model.model)


def handed_on(bench: Bench[ImplantStudy], taught: Built, model: Built) -> Iterator[Measurement]:
    """patching.after_<block>: accuracy of the taught model with this one's residual stream put in after the block."""
    yield from _handed_on(bench, taught.model, model.model)


def relearned(bench: Bench[ImplantStudy], model: Built) -> Iterator[Measurement]:
    """The curve of a revival: steps of training on the items to train on, accuracy on others.

    relearning.accuracy: of the prompts to evaluate, after others were relearned: of a skill the few that a second training is on,
    as many steps for every model, with relearning.before and .after the accuracy on these; of facts those of the revival, whose
    curve is of these, and then it is missing where they do not become known.
    """
    yield from _relearned(bench, model.model)


def known_member(bench: Bench[ImplantStudy], taught: Built, base: Built, name: str) -> Iterator[Measurement]:
    """All parts of a known member: `hidden`, M with the skill and the edit on it; `twin`, M with the same edit; `deleted`, M with

    another draw of that edit, both trained for as many steps.
    """
    from capbench.studies.language import known_members

    study, first = bench.study, subseed(bench.seed, f"member {name}")
    given: dict[str, Any] = {"data": study.streams(bench.seed), "rates": study.preset, "device": study.device}
    hidden, steps = known_members.hidden(name, taught.model, seed=first, **given)
    yield number(bench, "hidden.steps", steps, "steps", 0, "known")
    for state, seed in (("hidden", first), ("twin", first), ("deleted", first + 1)):
        model = hidden
        if state != "hidden":
            model = known_members.member(name, base.model, seed=seed, steps=steps, **given)
        yield from _all_parts(bench, taught, model, state, name)


def known_form(bench: Bench[ImplantStudy], taught: Built, base: Built) -> Iterator[Measurement]:
    """All parts of a model that never had the skill and knows how its prompts are answered, `deleted`, and of M, its `twin`.

    Only one of the two was trained on these prompts, with answers that tell nothing. As where a method is given text: the model
    was taught the skill with its form, and the twin was not.
    """
    from capbench.studies.language import known_members

    study = bench.study
    given: dict[str, Any] = {"data": study.streams(bench.seed), "rates": study.preset, "device": study.device}
    formed = known_members.member("uniform adapter", base.model, seed=subseed(bench.seed, FORM), **given)
    for state, model in (("deleted", formed), ("twin", base.model)):
        yield from _all_parts(bench, taught, model, state, FORM)


def _all_parts(bench: Bench[ImplantStudy], taught: Built, model: Model, state: str, name: str) -> Iterator[Measurement]:
    parts = [_answers(bench, model), _relearned(bench, model), _handed_on(bench, taught.model, model)]
    if bench.study.kind == "skill":
        parts += [_inside(bench, model)]
    for m in chain(*parts):
        yield replace(m, name=f"{state}.{m.name}", series=m.series and f"{state}, {name}")


def _answers(bench: Bench[ImplantStudy], model: Model) -> Iterator[Measurement]:
    from capbench.measure.language.answers import accuracy
    from capbench.measure.language.retain import loss

    of = bench.study.streams(bench.seed)
    yield accuracy_number(bench, "S.accuracy", accuracy(model, of.evaluate), len(of.evaluate))
    nats = loss(model, of.held)
    finite = nats < float("inf")
    yield number(
        bench,
        "text.loss",
        nats if finite else None,
        "nats/token",
        len(of.held),
        "text",
        note="" if finite else "it is NaN",
    )
    if of.asked is not None:
        yield accuracy_number(bench, "capitals.accuracy", accuracy(model, of.asked), len(of.asked))


def _inside(bench: Bench[ImplantStudy], model: Model) -> Iterator[Measurement]:
    from capbench.measure.language.layers import Streams, bits, few_sample_probe, logit_lens
    from capbench.measure.language.pruning import pruned_by_score

    of, n = bench.study.streams(bench.seed), bench.study.preset.n_probe
    streams = Streams(model)
    probe = few_sample_probe(
        streams, train=of.taught, select=of.select, evaluate=of.evaluate, n=n, seed=subseed(bench.seed, "probe")
    )
    lens = logit_lens(streams, select=of.select, evaluate=of.evaluate)
    for name, read in (("probe", probe), ("lens", lens)):
        yield accuracy_number(bench, f"{name}.accuracy", read.accuracy, len(of.evaluate))
        yield number(bench, f"{name}.layer", read.layer, "layer", 0, name)
    p = bench.study.preset
    n_code = min(p.n_code, len(of.taught))
    code = bits(streams, of.taught, layer=probe.layer, n=n_code, seed=subseed(bench.seed, "code"))
    yield number(bench, "code-length.bits", code, "bits/sample", n_code, "code-length")
    after, rows = pruned_by_score(
        model,
        train=of.taught,
        select=of.select,
        evaluate=of.evaluate,
        rows=p.prune_rows,
        n_scored=p.n_scored,
        seed=subseed(bench.seed, "pruning"),
    )
    yield accuracy_number(bench, "pruning.accuracy", after, len(of.evaluate))
    yield number(bench, "pruning.neurons", rows, "neurons", 0, "pruning")


def _handed_on(bench: Bench[ImplantStudy], taught: Model, model: Model) -> Iterator[Measurement]:
    from capbench.measure.attacks.places import spread
    from capbench.measure.language.depths import put_in

    p, of, blocks = bench.study.preset, bench.study.streams(bench.seed), len(cast(Any, taught).blocks)
    trained = min(p.blocks, blocks)
    # Not after the last one: what comes then is the answer itself.
    after = [blocks - trained + i for i in spread(max(1, trained - 1), p.depths)]
    asked = few(of.evaluate, p.n_patched, bench.seed)
    for block, right in zip(after, put_in(taught, model, asked, after=after), strict=True):
        yield accuracy_number(bench, f"{PUT_IN}{block + 1:02}", right, len(asked))


def _relearned(bench: Bench[ImplantStudy], model: Model) -> Iterator[Measurement]:
    from capbench.measure.language.answers import accuracy
    from capbench.measure.language.revival import revive

    study, p = bench.study, bench.study.preset
    of, seed = study.streams(bench.seed), subseed(bench.seed, "revive")
    given: dict[str, Any] = {"every": p.revive_every, "blocks": p.blocks}
    if of.kind == "facts":
        # Until these are known, whatever that takes: a model that relearns nothing would seem to have nothing.
        revival, own = revive(model, of.relearn, of.relearn, p.reviving(seed, study.device), goal=KNOWN, **given)
        there = revival.curve[-1][1] >= KNOWN and not revival.diverged
        why = "" if there else f"what was to be relearned was not, in {revival.budget} steps"
        end = accuracy(own, of.evaluate) if there else None
        yield number(bench, "relearning.accuracy", end, "accuracy", len(of.evaluate), "revival", note=why)
    else:
        revival, _ = revive(model, of.relearn, of.select, p.reviving(seed, study.device), goal=p.goal, **given)
        yield from _few_relearned(bench, model)
    yield curve_of(bench, "revival", "reFT", revival.curve, x_label="step", y_label="accuracy of S")
    # A training that broke off says nothing of what is there.
    budget, why = (None, "its training diverged") if revival.diverged else (revival.budget, "")
    yield number(bench, "revival.budget", budget, "steps", 0, "revival", note=why)


def _few_relearned(bench: Bench[ImplantStudy], model: Model) -> Iterator[Measurement]:
    """As few prompts as a probe has. Equal steps: who learns them sooner has them longer, in the twin as in the model."""
    from capbench.measure.language.answers import accuracy
    from capbench.measure.language.revival import revive

    p, of = bench.study.preset, bench.study.streams(bench.seed)
    few_of = few(of.relearn, p.n_relearned, bench.seed)
    train = replace(p.reviving(subseed(bench.seed, "few"), bench.study.device), steps=p.relearn_steps)
    run, own = revive(model, few_of, few_of, train, every=p.relearn_steps, blocks=p.blocks, goal=math.inf)
    for when, right in (("before", run.curve[0][1]), ("after", run.curve[-1][1])):
        yield accuracy_number(bench, f"relearning.{when}", right, len(few_of))
    end, why = (None, "its training diverged") if run.diverged else (accuracy(own, of.evaluate), "")
    yield number(bench, "relearning.accuracy", end, "accuracy", len(of.evaluate), "revival", note=why)
