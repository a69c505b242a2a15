"""A matplotlib figure as an SVG document, to read what is in it. Equal figures give equal bytes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def svg(figure: Figure) -> str:
    import matplotlib

    out = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tests"}):
        warnings.simplefilter("ignore")  # such as a glyph that the font lacks
        figure.savefig(out, format="svg", dpi=72, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()
