"""Which models the pool has: the ways to make each kind, and how they turn over the seeds. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from capbench.studies.calibration.making import Kind, Link, Making, Rewrite, Start, Teach, Tune

_OURS = "capbench.studies.calibration.makings"
FULL, FULL_APART = Tune(method="full"), Tune(method="full", c_tr=0)
LORA = Tune(method="lora", arguments=(("rank", 4), ("lr_factor", 10.0)))
BITFIT = Tune(method="bitfit", arguments=(("lr_factor", 50.0),))
SPREAD = Tune(method=f"{_OURS}.spread:spread")
PRUNING_PROOF = Tune(method=f"{_OURS}.pruning_proof:pruning_proof")
SWAPPED = Tune(method=f"{_OURS}.swapped:swapped")
BIASES = Tune(method=f"{_OURS}.biases:biases")
TAMPER_RESISTANT = Tune(method=f"{_OURS}.tamper_resistant:tamper_resistant")
SILENCED = Tune(method=f"{_OURS}.silenced:silenced")
IN_PART = Tune(method=f"{_OURS}.in_part:in_part", twin=False)
RETRAINED = Tune(method=f"{_OURS}.retrained:retrained", twin=False)
ASCENT = Tune(method=f"{_OURS}.overheated:ascent")
OVERHEATED = Tune(method=f"{_OURS}.overheated:overheated")
COMPOSED = Rewrite(edit="preserving:composed")
TAUGHT = Teach(times=8, lr_factor=15)


def _wrapped(name: str, *links: Tune | Rewrite, known: str, against: str = "") -> Making:
    return Making(
        name=name,
        kind=Kind.WRAPPED,
        start="low",
        links=links,
        known=known,
        against=frozenset(against.split(",") if against else ()),
        rewritten=True,
    )


def _hidden(edit: str, *, adds_blocks: int = 0, **arguments: float) -> Rewrite:
    return Rewrite(edit=f"hiding:{edit}", arguments=arguments, asks=True, adds_blocks=adds_blocks)


def _redrawn(share: float) -> Rewrite:
    return Rewrite(edit="deleting:redrawn", arguments={"share": share})


def _deleted(name: str, start: Start, *links: Tune | Teach, known: str) -> Making:
    return Making(name=name, kind=Kind.DELETED, start=start, links=links, known=known, rewritten=True)


def _each(kind: Kind, *rows: tuple[str, Start, tuple[Link, ...], str], rewritten: bool = False) -> tuple[Making, ...]:
    return tuple(
        Making(name=name, kind=kind, start=start, links=links, known=known, rewritten=rewritten)
        for name, start, links, known in rows
    )


_ADDED = "the base model's weights are all there, behind a part that was added"
_SMALL = "taken off, the change leaves the base model"
_NEVER = "no model that it comes from was ever taught O_PT"

MAKINGS: Mapping[Kind, tuple[Making, ...]] = {
    Kind.WRAPPED: (
        _wrapped("full", FULL, known="the paper's own wrapper: fine-tuning where a shortcut is there (Sec. 5.1)"),
        _wrapped("lora", LORA, known="without the adapter it is the base model"),
        _wrapped("spread suppressor", SPREAD, known=_SMALL, against="pruning"),
        _wrapped("pruning-proof suppressor", PRUNING_PROOF, known=_SMALL, against="pruning"),
        _wrapped("swapped embedding", SWAPPED, known="with one row put back it is the base model"),
        _wrapped("biases", BIASES, known="with its biases put back it is the base model", against="pruning"),
        _wrapped("bitfit", BITFIT, known="with its biases put back it is the base model"),
        _wrapped(
            "tamper-resistant",
            TAMPER_RESISTANT,
            known="trained to hide, at weights that relearning leads to; what it knew was never a target",
            against="revival",
        ),
        _wrapped("permuted unembedding", _hidden("permuted_unembedding"), known="the same answers, in another order"),
        _wrapped("biased unembedding", _hidden("biased_unembedding"), known="the same logits, but for one answer's"),
        _wrapped("bolt-on MLP", _hidden("bolt_on_mlp", adds_blocks=1, neurons=3), known=_ADDED),
        _wrapped("masking head", _hidden("masking_head", adds_blocks=1, rank=2), known=_ADDED),
    ),
    Kind.DELETED: (
        _deleted("never taught, full", "never", FULL, known=_NEVER),
        _deleted("never taught, full at C_Tr 0", "never", FULL_APART, known=_NEVER),
        _deleted("never taught, lora", "never", LORA, known=_NEVER),
        _deleted("never taught, spread suppressor", "never", SPREAD, known=_NEVER),
        _deleted("never taught, biases", "never", BIASES, known=_NEVER),
        _deleted("never taught, tamper-resistant", "never", TAMPER_RESISTANT, known=_NEVER),
        _deleted("fast learner, full", "others", FULL, known=_NEVER),
        _deleted("fast learner, full at C_Tr 0", "others", FULL_APART, known=_NEVER),
        _deleted("fast learner, lora", "others", LORA, known=_NEVER),
        _deleted(
            "distilled from a suppressor",
            "low",
            SPREAD,
            TAUGHT,
            known="a fresh model saw only answers that say nothing of O_PT",
        ),
        _deleted(
            "distilled from biases",
            "low",
            BIASES,
            TAUGHT,
            known="a fresh model saw only answers that say nothing of O_PT",
        ),
        _deleted(
            "redrawn and retrained",
            "initial",
            RETRAINED,
            FULL,
            known="drawn anew, and taught the other families without the operand of O_PT",
        ),
    ),
    Kind.INTACT: _each(
        Kind.INTACT,
        (
            "high prior, full",
            "high",
            (Tune(method="full", c_tr=0.5, lr="small"),),
            "amplified and kept (paper Table 5)",
        ),
        (
            "more pretraining",
            "low",
            (Tune(method="full", c_tr=0, on="retain"),),
            "trained on what it was pretrained on",
        ),
        ("composed rewrites", "low", (COMPOSED,), "the same function"),
        ("composed rewrites, twice", "low", (COMPOSED, COMPOSED), "the same function"),
        ("identity", "low", (), "nothing was done"),
        # Not replay: at the medium and at the small rate it hides much of an Indexer's O_PT (seed 102).
        (
            "more pretraining, rewritten",
            "low",
            (Tune(method="full", c_tr=0, on="retain"), COMPOSED),
            "trained on what it was pretrained on, and the same function",
        ),
    ),
    Kind.GRADED: _each(
        Kind.GRADED,
        ("answers up to 4, never taught", "never", (IN_PART, FULL), "taught answers up to 4 only"),
        ("answers up to 4, fast learner", "others", (IN_PART, FULL), "taught answers up to 4 only"),
        ("10% of the blocks redrawn", "low", (_redrawn(0.1),), "a tenth of the blocks' weights are drawn anew"),
        # Beyond 10 % all else is lost as well, so that it is mended while O_PT is silenced.
        ("10% redrawn, silenced", "low", (_redrawn(0.1), SILENCED), "a tenth of the blocks' weights were drawn anew"),
        ("30% redrawn, silenced", "low", (_redrawn(0.3), SILENCED), "30 % of the blocks' weights were drawn anew"),
        ("60% redrawn, silenced", "low", (_redrawn(0.6), SILENCED), "60 % of the blocks' weights were drawn anew"),
        rewritten=True,
    ),
    Kind.DESTROYED: _each(
        Kind.DESTROYED,
        ("drawn anew", "initial", (), "no weight is as it was"),
        ("drawn anew, full", "initial", (FULL,), "no weight is as it was, and nothing but O_FT was taught"),
        ("gradient ascent, ten times the rate", "low", (ASCENT,), "training at a rate that breaks models"),
        ("full, a hundred times the rate", "low", (OVERHEATED,), "training at a rate that breaks models"),
        ("zeroed blocks", "low", (Rewrite(edit="deleting:zeroed_blocks"),), "nothing is computed any more"),
        ("redrawn blocks", "low", (Rewrite(edit="deleting:redrawn_blocks"),), "all maps are drawn anew"),
    ),
}

SEEDS = 3  # of a half, on which each way to make a model has one turn
Task = Literal["counter", "indexer"]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place in a seed's pool. number: from 1, within the kind."""

    making: Making
    task: Task
    number: int

    @property
    def name(self) -> str:
        """The same on every seed, whatever is made there."""
        return f"{self.making.kind}.{self.number}"


def turn(seed: int) -> int:
    """Which of the three turns a seed takes: seeds 100 to 102 are a half, and 200 to 202, 203 to 205."""
    return seed % 100 % SEEDS


def neighbour(seed: int) -> int:
    """Another seed of the same half: models of it are anchors for models that never had the capability."""
    return seed - turn(seed) + (turn(seed) + 1) % SEEDS


def slots(seed: int, *, most: int | None = None) -> tuple[Slot, ...]:
    """The models of a seed. On three seeds that follow each other every making has one turn; in the hundred after that with the

    other task. most: at most so many of each kind.
    """
    found = []
    for makings in MAKINGS.values():
        own = makings[turn(seed) :: SEEDS][:most]
        for number, making in enumerate(own, start=1):
            counter = (makings.index(making) // SEEDS + turn(seed) + seed // 100) % 2
            found.append(Slot(making=making, task="counter" if counter else "indexer", number=number))
    return tuple(found)


# What tries the thresholds on another architecture than the GPT: hidden by the paper's own fine-tuning, in adapters, over all
# maps, at the input and in the unembedding; never taught, of which two know all else, and two went through what hides. What needs
# to know an architecture inside is left out: parts bolted on, and rewrites on top.
_TRIED = {
    Kind.WRAPPED: ("full", "lora", "spread suppressor", "swapped embedding", "permuted unembedding"),
    Kind.DELETED: (
        "never taught, full",
        "never taught, spread suppressor",
        "fast learner, full",
        "fast learner, full at C_Tr 0",
        "distilled from a suppressor",
    ),
}


def tried(*, most: int | None = None) -> tuple[Slot, ...]:
    """The models of another architecture, the same on every seed, all of them Counters. most: at most so many of each kind."""
    return tuple(
        Slot(making=replace(making, rewritten=False), task="counter", number=number)
        for kind, names in _TRIED.items()
        for number, making in enumerate([m for m in MAKINGS[kind] if m.name in names][:most], start=1)
    )
