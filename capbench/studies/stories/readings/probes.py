"""What a probe reads off a story model at the end of a story: did it have the event?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from capbench.results import Curve, Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy

if TYPE_CHECKING:
    import torch

LAST = 10  # positions at the end of a story that are averaged (App. F)


def description_length(bench: Bench[StoriesStudy], model: Built, feature: str) -> Iterator[Measurement]:
    """Probes of one model for one feature, by block: what `probing` is made of.

    What is read: the mean of the stream over the last ten positions of a story whose block does not say which features it has.
    `bits by block` and `accuracy by block` on the evaluation split; `block`: the one with the fewest bits on the selection
    split; `bits`: its bits on the evaluation split; `accuracy`: its accuracy there; `new_phrasings`: its accuracy on stories
    whose sentences were all held out, of stories made here.
    """
    from capbench.measure.probe import Probe, Whitening, code_length

    blocks = bench.study.preset.probe_blocks
    x, labels = {}, {}
    for name in ("select", "evaluate", *(("new_phrasings",) if bench.study.own is None else ())):
        x[name], labels[name] = _stories(bench, model, name, feature, blocks[-1])
    whitening = Whitening.fitted(x["select"])
    length = {
        split: code_length(x[split], labels[split], 2, blocks=blocks, whitening=whitening).tolist()
        for split in ("select", "evaluate")
    }
    layers = range(len(length["select"]))
    chosen = min(layers, key=length["select"].__getitem__)
    probe = Probe.fitted(x["select"], labels["select"], 2, whitening=whitening)
    right = {name: probe.accuracy(x[name], labels[name]).tolist() for name in x if name != "select"}
    for name, values in (("bits by block", length["evaluate"]), ("accuracy by block", right["evaluate"])):
        curve = Curve(x=tuple(map(float, layers)), y=tuple(values), x_label="block (0: embedding)", y_label=name)
        yield Measurement(name=name, value=None, unit="", n=blocks[-1], seed=bench.seed, curve=curve)
    for name, value in (
        ("bits", length["evaluate"][chosen]),
        ("block", chosen),
        *((name.replace("evaluate", "accuracy"), values[chosen]) for name, values in right.items()),
    ):
        yield number(bench, name, value, "", blocks[-1], "probing")


def probing(
    bench: Bench[StoriesStudy], base: Built, tuned: Built, never: Built, twin: Built | None = None
) -> Iterator[Measurement]:
    """Can a probe read the target's event off the end of a story as easily as before? By code length, on a scale from the

    twin (without one: the never-taught model), 0, to the pretrained model, 1: `probing.retention`. probing.range: how far these
    two are apart, in bits per story. By model: probing.bits.<model>, .block, .accuracy, .new_phrasings. The other features, of
    base and tuned: probing.<feature>.bits.<model>.
    """
    n, target = bench.study.preset.probe_blocks[-1], bench.study.target
    models: Mapping[str, Built] = {"base": base, "tuned": tuned, "never": never, **({"twin": twin} if twin else {})}
    bits: dict[str, float] = {}
    for name, built in models.items():
        read = {m.name: m for m in bench.read(description_length, {"model": built}, feature=target)}
        for what, unit in (
            ("bits", "bits/sample"),
            ("block", "block"),
            ("accuracy", "accuracy"),
            ("new_phrasings", "accuracy"),
        ):
            if what in read:
                yield number(bench, f"probing.{what}.{name}", read[what].value, unit, n, "probing")
        bits[name] = read["bits"].value or 0.0
        yield Measurement(
            name="probing.curve",
            value=None,
            unit="",
            n=0,
            seed=bench.seed,
            group="probing",
            series=name,
            curve=read["bits by block"].curve,
        )
    zero = bits["twin" if twin else "never"]
    apart = zero - bits["base"]
    note = "" if apart > 0 else "the pretrained model holds no more than the never-taught one"
    yield number(bench, "probing.range", apart, "bits/sample", n, "probing")
    kept = (zero - bits["tuned"]) / apart if apart > 0 else None
    yield number(bench, "probing.retention", kept, "retention", n, "probing", note=note)
    for feature in bench.study.told_apart("select", "evaluate"):
        for name in ("base", "tuned") if feature != target else ():
            read = {m.name: m for m in bench.read(description_length, {"model": models[name]}, feature=feature)}
            yield number(bench, f"probing.{feature}.bits.{name}", read["bits"].value, "bits/sample", n, "probing")


def _stories(
    bench: Bench[StoriesStudy], model: Built, which: str, feature: str, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float[layer, n, d_model] at the ends of n stories, and whether each has the feature, Int[n]."""
    import torch

    from capbench.measure.telling import mean_features
    from capbench.tasks.stories.corpus.task import lengths
    from capbench.tasks.stories.features import FEATURES

    new = which == "new_phrasings"
    task = bench.study.untold(feature, split="select" if which == "select" else "evaluate", new_phrasings=new)
    rng = torch.Generator().manual_seed(subseed(bench.seed, f"probe {which}"))
    batch, told, _ = task.with_features(n, rng)
    # Without the end, which made stories have at the same place.
    ends = torch.full((n,), batch.tokens.shape[1] - 1) if bench.study.own is None else lengths(batch)[1]
    x = mean_features(model.model, batch.tokens[:, : int(ends.max())], last=LAST, ends=ends)
    return x, told[:, FEATURES.index(feature)].long()
