"""The paper's tables as data: the figures of each, and the models and readings that they are compared with. No torch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

from capbench.errors import UsageError
from capbench.fidelity.paper import Group, Quantity, Row, Table
from capbench.pipeline.steps import Step
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.pcfg import readings as pcfg_readings
from capbench.studies.stories import preset as stories
from capbench.studies.stories import readings as stories_readings
from capbench.studies.tracr import preset as tracr
from capbench.studies.tracr import readings as tracr_readings

SOURCE = "Jain et al., ICLR 2024, arXiv 2311.12786"
OPERANDS = "O_PT accuracy {} or more, on every seed and at C_Te 1 and 0"


def load(name: str) -> Table:
    """The table of this name. Raises UsageError if there is none."""
    if name not in TABLES:
        raise UsageError(f"--table={name}: unknown table; known: {', '.join(TABLES)}")
    return TABLES[name]()


def finetuned(study: Any, row: Row, seed: int) -> dict[str, Step]:
    """A row's models, named as in the suites, so that readings are shared with them."""
    of_base = row.group.base
    return {
        "base": study.base(seed, **of_base),
        "tuned": study.finetuned(seed, **of_base, c_tr=row.c_tr, lr=row.rate),
    }


def _tracr() -> Table:
    # The compiled program answers O_PT, and where the correlation holds the answer to O_FT is another one.
    by_construction = {"pt_c1": 100.0, "ft_c1": 0.0, "pt_c0": 100.0}
    figures = {
        name: Quantity(
            words=f"{operand}, C_Te {c_te}", reading=f"tuned.{operand}.c_te{c_te}", before=by_construction.get(name)
        )
        for c_te in (1, 0)
        for name, operand in ((f"pt_c{c_te}", "O_PT"), (f"ft_c{c_te}", "O_FT"))
    }
    groups = {name: Group(name=name, title=name, study=f"tracr-{name}") for name in ("counter", "max")}
    return Table(
        name="tracr",
        source=f"{SOURCE}, Table 3",
        key="task",
        figures=figures,
        blocks=(tuple(figures),),
        behaviour=tracr_readings.behaviour,
        models=finetuned,
        control=OPERANDS,
        pretrain_steps=None,
        finetune_steps=10_000,
        rows=_rows("tracr.csv", lambda cells: groups[cells["task"]], tracr.RATES, figures),
    )


def _pcfg_counting() -> Table:
    blocks = {column: _over_time(column, operand) for column, operand in (("pt", "O_PT"), ("ft", "O_FT"))}
    figures = blocks["pt"] | blocks["ft"]
    groups = {
        pcfg.PRIORS[name]["a"]: Group(name=name, title=f"prior {name}", study="pcfg-counter", base={"prior": name})
        for name in ("low", "high")
    }
    return Table(
        name="pcfg-counting",
        source=f"{SOURCE}, Table 5",
        key="prior",
        figures=figures,
        blocks=tuple(tuple(block) for block in blocks.values()),
        behaviour=pcfg_readings.behaviour,
        models=finetuned,
        control=OPERANDS,
        pretrain_steps=200_000,
        finetune_steps=10_000,
        rows=_rows("pcfg_counting.csv", lambda cells: groups[float(cells["prior_a"])], pcfg.paper().rates, figures),
        notes=_longer,
    )


def _over_time(column: str, operand: str) -> dict[str, Quantity]:
    """An operand's accuracy before fine-tuning (without the correlation), after a tenth of it, and at its end."""
    before = f"{column}_pretrained"
    found = {before: Quantity(words=f"{operand}, before", reading=f"base.{operand}.c_te0", before=before)}
    for c_te in (0, 1):
        asked = f"{operand}, C_Te {c_te}"
        at_the_end = f"tuned.{operand}.c_te{c_te}"
        found[f"{column}_c{c_te}_1k"] = Quantity(words=f"{asked}, after a tenth", curve=asked, before=before)
        found[f"{column}_c{c_te}_10k"] = Quantity(words=f"{asked}, at the end", reading=at_the_end, before=before)
    return found


def _longer(preset: pcfg.PcfgPreset) -> list[str]:
    return [f"pretraining under prior {prior}: {times:g} times as many steps" for prior, times in preset.longer.items()]


NEVER = "never"  # the row of the model that never saw a twist
PROTOCOLS = {"F": "filtering", "F+RR": "randomisation", "F+MM": "mix-match"}  # by the paper's name


def _stories() -> Table:
    paper = stories.paper()
    # Deletion ends at the first column; what nothing changes leaves of it stands there.
    figures = {
        f"it{step}": Quantity(
            words=f"after {step} of reFT" if step else "before reFT",
            reading=f"{'reft_' if step else ''}{step or 'tuned'}.O_PT.greedy",
            before="it0",
        )
        for step in paper.table_steps
    }
    groups = {
        short: Group(name=short, title=f"{short}: {name}", study="stories", base={"protocol": name})
        for short, name in PROTOCOLS.items()
    }
    groups[NEVER] = Group(name=NEVER, title="never in pretraining", study="stories")
    return Table(
        name="stories",
        source=f"{SOURCE}, Table 1",
        key="protocol",
        names=("lr",),
        figures=figures,
        blocks=(tuple(figures),),
        behaviour=stories_readings.asked_of_each,
        models=_told,
        control="a twist in {} or more of the stories that are asked for with one, on every seed",
        pretrain_steps=paper.pretrain_steps,
        finetune_steps=paper.finetune_steps,
        rows=_rows("stories.csv", lambda cells: groups[cells["protocol"]], paper.rates, figures),
        notes=_fewer,
    )


def _told(study: Any, row: Row, seed: int) -> dict[str, Step]:
    """A deletion, or the model that never saw a twist, and what reFT makes of it: `reft_30` is that after as many steps here."""
    start = study.base(seed, never=True) if row.group.name == NEVER else _deleted(study, row, seed)
    after = zip(stories.paper().table_steps[1:], study.preset.table_steps[1:], strict=True)
    return {
        "base": study.base(seed),
        "tuned": start,
        **{f"reft_{step}": study.relearnt(start, seed, lr="medium", steps=here) for step, here in after},
    }


def _deleted(study: Any, row: Row, seed: int) -> Step:
    found: Step = study.deleted(seed, **row.group.base, lr=row.rate)
    return found


def _fewer(preset: stories.StoriesPreset) -> list[str]:
    notes = ["our figures: stories in which an exact checker finds a twist; the paper's: those in which a model does"]
    here, paper = preset.table_steps, stories.paper().table_steps
    if here != paper:
        pairs = ", ".join(f"{mine} for {its}" for mine, its in zip(here[1:], paper[1:], strict=True))
        notes.append(f"steps of reFT here for the paper's: {pairs}")
    return notes


TABLES: Mapping[str, Callable[[], Table]] = {"tracr": _tracr, "pcfg-counting": _pcfg_counting, "stories": _stories}


def _rows(
    file: str,
    group: Callable[[Mapping[str, str]], Group],
    rates: Mapping[str, float],
    columns: Iterable[str],
) -> tuple[Row, ...]:
    text = resources.files("capbench.fidelity").joinpath("tables", file).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    names = {eta: name for name, eta in rates.items()}
    return tuple(
        Row(
            group=group(cells),
            lr=cells["lr"],
            rate=names[float(cells["lr"])] if cells["lr"] else "",
            c_tr=_number(cells["c_tr"]) if "c_tr" in cells else None,
            paper={column: float(cells[column]) for column in columns},
        )
        for cells in csv.DictReader(lines)
    )


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value
