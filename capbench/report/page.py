"""Pages that need no network: the templates, style and script that the report, comparisons and the leaderboard share."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from capbench.report import words
from capbench.report.entries import as_number

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, *, folder: Path | None = None, **values: Any) -> str:
    """A page from a template that extends `page.html.j2`, in the report's folder or this one. Everything is escaped."""
    script = (TEMPLATES / "report.js").read_text("utf-8")
    values["script"] = script
    values["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page: str = _environment([*([folder] if folder else []), TEMPLATES]).get_template(template).render(**values)
    return page.rstrip() + "\n"


def _environment(folders: list[Path]) -> Any:
    """Everything is escaped; names break after their separators; numbers have real minus signs."""
    import jinja2
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        """A long name that may wrap after its separators."""
        return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[,/:_])|(?=\[)", name))

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "breakable": breakable,
        "number": as_number,
        "signed": _signed,
        "pairs": words.pairs,
        "typeset": words.typeset,
    }
    made.globals |= {
        "icons": words.ICONS,
        "interval": lambda ci: words.typeset(words.interval(ci)),
        "threshold": lambda verdict: words.typeset(words.threshold(verdict)),
    }
    return made


def _signed(value: float | None) -> str:
    return words.typeset(words.number(value, sign=True))
