"""How every figure of a report looks, and how it becomes an SVG."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from capbench.report.words import line as one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    "text.parse_math": False,  # a '$' in a user's name or as a token is a dollar sign
    "svg.fonttype": "none",
}


@contextmanager
def style(salt: str) -> Iterator[None]:
    """matplotlib's own defaults plus ours, whatever the user's matplotlibrc says; restored afterwards."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # such as a glyph that the font lacks: the browser has another font
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["svg.hashsalt"] = salt
        yield


def svg(figure: Figure, *, dpi: int = 72) -> str:
    """The figure as an SVG document; equal figures give equal bytes. dpi: that of images inside it."""
    out = io.StringIO()
    figure.savefig(out, format="svg", dpi=dpi, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    return text[text.index("<svg") :]  # without the DOCTYPE, which names an external address


def wrapped(title: str, width: int) -> str:
    """A title of several lines, each broken at most once."""
    return "\n".join(part for text in title.split("\n") for part in textwrap.wrap(one_line(text), width)[:2])
