"""How every figure of a notebook looks."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from capbench.report.words import line as one_line

STYLE: Any = {  # (the type stubs require literal keys)
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.markersize": 3.5,
    "svg.hashsalt": "capbench",  # the same figure is the same file
    "text.parse_math": False,  # a '$' in a user's name or as a token is a dollar sign
}


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults plus ours, whatever the user's matplotlibrc says; restored afterwards."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # such as a glyph that the font lacks: the browser has another font
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def wrapped(title: str, width: int) -> str:
    """A title of several lines, each broken at most once."""
    return "\n".join(part for text in title.split("\n") for part in textwrap.wrap(one_line(text), width)[:2])
