"""What is said of a pair of models: the verdict in a few sentences and the tables behind it, as text, Markdown, JSON, a page."""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from pathlib import Path
from typing import Any

from capbench.measure.language.scale import Score
from capbench.report.markdown import escape, table
from capbench.report.page import rendered
from capbench.report.words import line, number
from capbench.studies.language.natural import Found
from capbench.verdicts.natural import BACK, NOT_RECOVERED, Attempt
from capbench.verdicts.twins import ADMISSIBLE

SCHEMA = 1
WIDTH = 100  # columns of a terminal
TEMPLATES = Path(__file__).parent / "templates"
NEVER = (
    "What attacks do not bring back may still be there: of a natural capability no attack can show that it was deleted."
)
ATTACKS = ("attack", "brought back", "95 %", "loss on text", "base keeps", "never taught", "counts")
RELEARNT = ("training on", "V after the change", "V of the model before")


def state(found: Found) -> str:
    """The state, with the attack that showed it, as in `recoverable (by relearning at 0.0001)`."""
    says = found.judged
    return f"{says.state} (by {says.by})" if says.state == "recoverable" else says.state


def sentences(found: Found) -> list[str]:
    """What became of the capability; what shows it; what else changed. Whole sentences."""
    fell = f"accuracy {_of(found.base)} before and {_of(found.tuned)} after, where chance is {number(found.chance)}"
    said = [f"{line(found.capability)} is {state(found)}: {fell}."]
    by = found.by
    if by is not None:
        chosen = f" ({by.detail})" if by.detail else ""
        said.append(
            f"The strongest attack that counts, {by.name}{chosen}, brings it to {_share(by)} of the way from chance to the model "
            f"before, on items that did not choose it."
        )
    elif found.judged.state in ("destroyed", "undecided"):
        said.append(f"{_sentence(found.judged.why)}.")
    if found.judged.state == "undecided" and by is not None:
        said.append(f"{_sentence(found.judged.why)}.")
    if (more := _more(found)) is not None and found.judged.state != "recoverable":
        said.append(f"{_sentence(more.name)} brings back {_share(more)}, but does not count: {more.admissible}.")
    said.append(collateral(found))
    if found.judged.state == NOT_RECOVERED:
        said.append(NEVER)
    return said


def collateral(found: Found) -> str:
    """What the change did to text that it was to leave alone."""
    damage = "more than" if not found.rise <= ADMISSIBLE else "within"
    said = (
        f"Elsewhere: the loss on text went from {number(found.loss_base)} to {number(found.loss_tuned)} nats per token "
    )
    said += f"({_percent(found.rise)}, {damage} the {ADMISSIBLE:.0%} that are admissible)"
    if found.others_base is not None and found.others_tuned is not None:
        said += f", the accuracy on prompts to keep from {number(found.others_base)} to {number(found.others_tuned)}"
    return said + "."


def attack_rows(found: Found) -> list[list[str]]:
    """A row for each attack, those that bring most back first; then those that were not possible."""
    order = sorted(found.attempts, key=lambda a: (bool(a.admissible), -a.evaluate))
    rows = [
        [
            a.name + (f" ({a.detail})" if a.detail else ""),
            number(a.evaluate),
            f"[{number(a.low)}, {number(a.high)}]",
            _percent(a.rise),
            number(a.base),
            number(a.never),
            (a.admissible and f"no: {a.admissible}") or "yes",
        ]
        for a in order
    ]
    return rows + [[name, *[number(None)] * 5, f"not possible: {why}"] for name, why in found.impossible.items()]


def relearnt_rows(found: Found) -> list[list[str]]:
    """Facts: what V, the half that is scored, is before any training, and after each."""
    if not found.relearnt:
        return []
    return [
        ["nothing", _of(found.tuned), _of(found.base)],
        *([r.what, _of(r.tuned), _of(r.base)] for r in found.relearnt),
    ]


def to_text(found: Found, title: str = "") -> str:
    """For a terminal."""
    from tabulate import tabulate

    parts = ["\n".join(textwrap.fill(sentence, WIDTH) for sentence in sentences(found))]
    for head, rows in ((ATTACKS, attack_rows(found)), (RELEARNT, relearnt_rows(found))):
        if rows:
            cells = [[textwrap.fill(row[0], 34), *row[1:-1], textwrap.fill(row[-1], 30)] for row in rows]
            parts.append(tabulate(cells, headers=head, tablefmt="simple", disable_numparse=True))
    if found.attempts:
        parts.append(textwrap.fill(_notes(found), WIDTH))
    return "\n\n".join(parts) + "\n"


def to_markdown(found: Found, title: str = "") -> str:
    """GitHub-flavoured."""
    parts = [f"# {escape(title or found.capability)}", *map(escape, sentences(found))]
    if found.attempts or found.impossible:
        parts += ["## Attacks", table(ATTACKS, attack_rows(found), numbers_from=9), escape(_notes(found))]
    if found.relearnt:
        parts += ["## Facts relearned", table(RELEARNT, relearnt_rows(found), numbers_from=9)]
    return "\n\n".join(parts) + "\n"


def to_json(found: Found, title: str = "") -> str:
    """Everything; numbers are finite or null."""
    whole = {"schema": SCHEMA, "pair": title, "state": found.judged.state, "sentences": sentences(found)}
    whole |= {"found": _plain(found)}
    return json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_page(found: Found, title: str = "") -> str:
    """A page that needs no network, in the report's style."""
    tables = [
        ("Attacks", ATTACKS, attack_rows(found)),
        ("Facts relearned", RELEARNT, relearnt_rows(found)),
    ]
    return rendered(
        "pair.html.j2",
        folder=TEMPLATES,
        title=line(title or found.capability),
        sentences=sentences(found),
        tables=[each for each in tables if each[2]],
        notes=_notes(found) if found.attempts else "",
    )


FORMATS = {"text": to_text, "markdown": to_markdown, "json": to_json}


def _notes(found: Found) -> str:
    return (
        f"Brought back: 0 at chance, 1 as the model before; above {BACK:g} it is back. Loss on text: against the model before. "
        "Base keeps: what the attack leaves of the model before. Never taught: how far it brings that model on a capability of "
        "the same form that no model was taught. Controls of attacks that bring less back than the strongest are omitted."
    )


def _of(score: Score) -> str:
    low, high = score.interval
    return f"{number(score.accuracy)} [{number(low)}, {number(high)}]"


def _more(found: Found) -> Attempt | None:
    """The attack that brings most back among those that do not count, if it brings back more than those that do."""
    least = BACK if found.by is None else max(BACK, found.by.evaluate)
    others = [a for a in found.attempts if a.admissible and a.evaluate > least]
    return max(others, key=lambda a: a.evaluate, default=None)


def _share(by: Attempt) -> str:
    return f"{number(by.evaluate)} [{number(by.low)}, {number(by.high)}]"


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "not finite"
    return f"{round(share, 3) + 0.0:+.1%}"  # no minus before a zero


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
