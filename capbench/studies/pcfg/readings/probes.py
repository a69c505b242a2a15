"""What a probe reads off the residual stream of PCFG models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

from capbench.results import Curve, Measurement
from capbench.studies.lab import Bench, Built, made_of, read_on
from capbench.studies.pcfg.readings.sampling import drawn
from capbench.studies.readings import number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgJailbreak, PcfgStudy


def description_length(bench: Bench[PcfgStudy], model: Built, token: str | None) -> Iterator[Measurement]:
    """Probes of one model for the answer to O_PT, by block: what `probing` is made of.

    `bits by block` and `accuracy by block` on the evaluation split; `block`: the one with the fewest bits on the selection
    split; `bits`: its bits on the evaluation split; `accuracy`: the best of any block.
    """
    from capbench.measure.probe import Probe, Whitening, code_length, features

    study, blocks = bench.study, bench.study.preset.probe_blocks
    tasks = {
        split: study.evaluation(study.operands[0], c_te=None, family=token, split=split)
        for split in ("select", "evaluate")
    }
    batches = {split: drawn(task, blocks[-1], subseed(bench.seed, f"probe {split}")) for split, task in tasks.items()}
    task = tasks["evaluate"]
    classes = task.n_answers
    labels = {split: batch.targets[:, task.answer_pos] - task.first_answer for split, batch in batches.items()}
    x = {split: features(model.model, batch, task.answer_pos) for split, batch in batches.items()}
    whitening = Whitening.fitted(x["select"])
    length = {s: code_length(x[s], labels[s], classes, blocks=blocks, whitening=whitening).tolist() for s in x}
    layers = range(len(length["select"]))
    chosen = min(layers, key=length["select"].__getitem__)
    probe = Probe.fitted(x["select"], labels["select"], classes, whitening=whitening)
    right = probe.accuracy(x["evaluate"], labels["evaluate"]).tolist()
    for name, values in (("bits by block", length["evaluate"]), ("accuracy by block", right)):
        curve = Curve(x=tuple(map(float, layers)), y=tuple(values), x_label="block", y_label=name)
        yield Measurement(name=name, value=None, unit="", n=blocks[-1], seed=bench.seed, curve=curve)
    for name, value in (("bits", length["evaluate"][chosen]), ("block", chosen), ("accuracy", max(right))):
        yield number(bench, name, value, "", blocks[-1], "probing")


def _as_it_is(study: PcfgStudy) -> list[dict[str, str | None]]:
    return [{"token": None}]


def _under_each_token(study: PcfgJailbreak) -> list[dict[str, str | None]]:
    return [{"token": token} for token in (study.family, *study.jailbreaks)]


@made_of(description_length, _as_it_is)
def probing(
    bench: Bench[PcfgStudy],
    base: Built,
    tuned: Built,
    never: Built,
    initial: Built,
    twin: Built | None = None,
    **anchors: Built,
) -> Iterator[Measurement]:
    """Can a probe read the answer for O_PT off the residual stream at the answer position? (Fig. 8)

    Retention: 0 = the twin (a model never taught O_PT, after the same method), 1 = the pretrained model, on the scale of
    description length (bits per sample) at each model's best block; blocks are chosen on the selection split, lengths measured on
    the evaluation split. Where a study gives no twin, the never-taught model itself is the zero. Plain accuracy is reported per
    block beside it, with the controls and a randomly initialised model.

    anchors: never-taught models of other seeds, `anchor_<seed>`, each read on its own seed's sample. `probing.zero_spread` is the
    standard deviation of their retentions on this seed's scale: how far the zero itself is uncertain.
    """
    models = {"base": base, "tuned": tuned, "never": never, "initial": initial}
    yield from _probing(bench, models, twin, anchors)


@made_of(description_length, _as_it_is)
def retention(
    bench: Bench[PcfgStudy], base: Built, tuned: Built, never: Built, twin: Built | None = None, **anchors: Built
) -> Iterator[Measurement]:
    """`probing` without the control of a random initialisation."""
    yield from _probing(bench, {"base": base, "tuned": tuned, "never": never}, twin, anchors)


@made_of(description_length, _under_each_token)
def probing_by_token(
    bench: Bench[PcfgJailbreak], base: Built, tuned: Built, never: Built, twin: Built | None = None
) -> Iterator[Measurement]:
    """`probing` under each family token of the jailbreak study: `probing.<token>.retention` and so on (App. E.2)."""
    for arguments in _under_each_token(bench.study):
        yield from _probing(bench, {"base": base, "tuned": tuned, "never": never}, twin, {}, **arguments)


def _probing(
    bench: Bench[PcfgStudy],
    models: Mapping[str, Built],
    twin: Built | None,
    anchors: Mapping[str, Built],
    token: str | None = None,
) -> Iterator[Measurement]:
    """token: a family token to ask under, which is then part of all names; None: the study's own."""
    prefix = f"probing.{token}" if token else "probing"
    n = bench.study.preset.probe_blocks[-1]
    bits: dict[str, float] = {}
    for name, built in {**models, **({} if twin is None else {"twin": twin})}.items():
        read = {m.name: m for m in bench.read(description_length, {"model": built}, token=token)}
        yield from _curves(bench, name, read, f", T_{token}" if token else "")
        bits[name] = _bits(read)
        yield number(bench, f"{prefix}.bits.{name}", bits[name], "bits/sample", n, "probing")
        yield number(bench, f"{prefix}.block.{name}", read["block"].value, "block", n, "probing")
        yield number(bench, f"{prefix}.accuracy.{name}", read["accuracy"].value, "accuracy", n, "probing")
    zero = bits["never" if twin is None else "twin"]
    range_ = zero - bits["base"]
    note = "" if range_ > 0 else "the pretrained model holds no more than the never-taught one"
    yield number(bench, f"{prefix}.range", range_, "bits/sample", n, "probing")
    kept = (zero - bits["tuned"]) / range_ if range_ > 0 else None
    yield number(bench, f"{prefix}.retention", kept, "retention", n, "probing", note=note)
    if len(anchors) > 1:
        others = [_bits_of_anchor(bench, name, built, token) for name, built in anchors.items()]
        spread = stdev(others) / range_ if range_ > 0 else None
        yield number(bench, f"{prefix}.zero_spread", spread, "retention", len(others), "probing", note=note)


def _bits_of_anchor(bench: Bench[PcfgStudy], name: str, built: Built, token: str | None) -> float:
    own = replace(bench, seed=read_on(name, bench.seed))
    return _bits({m.name: m for m in own.read(description_length, {"model": built}, token=token)})


def _bits(read: Mapping[str, Measurement]) -> float:
    value = read["bits"].value
    assert value is not None
    return value


def _curves(bench: Bench[PcfgStudy], name: str, read: Mapping[str, Measurement], under: str) -> Iterator[Measurement]:
    titles = {"never": "never taught", "initial": "random initialisation", "twin": "never taught, same method"}
    for what, y_label in (("bits", "bits per sample"), ("accuracy", "accuracy")):
        by_block = read[f"{what} by block"].curve
        assert by_block is not None
        curve = replace(by_block, x_label="block (0: embedding)", y_label=y_label + under)
        series = titles.get(name, name)
        yield Measurement(
            name="probing.curve", value=None, unit="", n=0, seed=bench.seed, group="probing", series=series, curve=curve
        )
