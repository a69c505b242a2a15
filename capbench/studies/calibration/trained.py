"""The trained models of the pool, as steps: the table's makings carried out on the suites' own Counter and Indexer. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from capbench.methods.specs import registry
from capbench.pipeline.steps import Distil, Edit, FineTune, Step
from capbench.studies.calibration.making import Kind, Link, Rewrite, Start, Teach, Tune
from capbench.studies.calibration.member import Member
from capbench.studies.calibration.table import COMPOSED, Slot, neighbour
from capbench.studies.pcfg.claims import RATES
from capbench.studies.pcfg.distilling import distilled
from capbench.studies.pcfg.study import PcfgCounter, PcfgIndexer, PcfgStudy
from capbench.studies.revivals import anchor_revivals
from capbench.studies.seeds import subseed

_EDITS = "capbench.models.edits"


def members(preset: Any, device: str, seed: int, *, slots: Iterable[Slot]) -> Iterator[Member]:
    """The trained models of a seed, as the table has them."""
    studies = {kind: made(preset=preset, device=device) for kind, made in _STUDIES.items()}
    for slot in slots:
        yield member(studies[slot.task], slot, seed)


_STUDIES: dict[str, type[PcfgStudy]] = {"counter": PcfgCounter, "indexer": PcfgIndexer}


def member(study: PcfgStudy, slot: Slot, seed: int) -> Member:
    """What a slot of the table holds.

    What never had O_PT is compared with models of another seed: with those of its own seed it would be compared with itself.
    """
    making = slot.making
    anchor = neighbour(seed) if making.never_had_it else seed
    links = (*making.links, *([COMPOSED] if making.rewritten else []))
    from_nothing = making.kind is Kind.DELETED and making.start == "initial"
    before = started(study, "others" if from_nothing else making.start, seed)
    base = started(study, "high" if making.start == "high" else "low", seed)
    tuned = chained(study, started(study, making.start, seed), links, making.start, seed)
    never = started(study, "never", anchor)
    models = {
        "base": base,
        "tuned": tuned,
        "never": never,
        "twin": chained(study, never, _applied(making.links), "never", anchor),
        "others": started(study, "others", anchor),
        "initial": started(study, "initial", anchor),
        **study.anchors(seed),
    }
    return Member(
        slot=slot.name,
        made=making.name,
        kind=making.kind,
        study=study,
        models={**models, **_revivals(study, models, seed)},
        before=base if making.kind is Kind.DESTROYED else before,
        known=making.known,
        against=making.against,
    )


def started(study: PcfgStudy, start: Start, seed: int) -> Step:
    """The model that a making starts from."""
    return study.initialised(seed) if start == "initial" else study.base(seed, prior=start)


def chained(study: PcfgStudy, start: Step, links: Sequence[Link], prior: str, seed: int) -> Step:
    """A model after all links in turn. prior: what it was pretrained on, which is what methods are given to keep."""
    found = start
    for i, link in enumerate(links):
        match link:
            case Tune():
                found = _tuned(study, found, link, prior, seed)
            case Rewrite():
                found = _edited(study, found, link, seed, i)
            case Teach():
                found = _distilled(study, found, link, seed)
    return found


def _applied(links: Sequence[Link]) -> tuple[Link, ...]:
    """What a twin goes through: not being taught to a fresh model, which leaves nothing of where it started."""
    return tuple(link for link in links if isinstance(link, Rewrite) or (isinstance(link, Tune) and link.twin))


def _tuned(study: PcfgStudy, base: Step, link: Tune, prior: str, seed: int) -> FineTune:
    method = registry.find(link.method, arguments=link.arguments)
    own: Any = replace(study, method=method)
    task = own.finetuned(seed, prior="others" if prior == "initial" else prior, c_tr=link.c_tr, lr=link.lr).task
    if link.on == "retain":
        task = replace(task, target=task.retain)
    found: FineTune = own.tuned(base, task, seed, lr=link.lr)
    return found


def _edited(study: PcfgStudy, start: Step, link: Rewrite, seed: int, place: int) -> Edit:
    return Edit(
        start=start,
        edit=f"{_EDITS}.{link.edit}",
        arguments=link.arguments,
        seed=subseed(seed, f"edit {place} {link.edit} {study.task_name}"),
        task=study.evaluation(study.operands[0], c_te=None, split="train") if link.asks else None,
        adds_blocks=link.adds_blocks,
    )


def _distilled(study: PcfgStudy, teacher: Step, link: Teach, seed: int) -> Distil:
    """A fresh model, of another seed's initialisation, that answers as the teacher does."""
    fresh = study.initialised(neighbour(seed))
    return distilled(study, teacher, seed, start=fresh, times=link.times, lr_factor=link.lr_factor)


def _revivals(study: PcfgStudy, models: dict[str, Step], seed: int) -> dict[str, Step]:
    """The curves that the revival tool compares, as the verdict's suite has them: baselines where they are fastest."""
    found: dict[str, Step] = {f"reft_{rate}": study.revival(models["tuned"], seed, lr=rate) for rate in RATES}
    found |= anchor_revivals(study, seed, lr=RATES[0])
    for kind, role in {"scrft": "never", "others": "others", "scr": "initial", "twin": "twin"}.items():
        found[f"{kind}_{RATES[0]}"] = study.revival(models[role], seed, lr=RATES[0])
    return found
