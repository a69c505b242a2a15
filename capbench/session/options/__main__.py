"""`python -m capbench.session.options [FILE]`: write the page of all options to FILE, or print it."""

from __future__ import annotations

import sys
from pathlib import Path

from capbench.session.options.page import page

if len(sys.argv) > 1:
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
else:
    print(page(), end="")
