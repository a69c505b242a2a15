"""The table of speed figures: `python benchmarks/table.py [--write benchmarks/RESULTS.md] FILES.json`.

FILES are what `pytest benchmarks/ --benchmark-json=FILE`, growth.py, gpu.py, precision.py and faults.py write. `--write` replaces
the table in a page, between its markers; without it the table is printed. `--reduce FOLDER` keeps what the table needs of each
file, under its name, so that it can be committed; such files can be given as FILES too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed.tables import TableError, inserted, reduced, table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The table of figures, from the benchmarks' JSON files.")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="replace the text between its markers")
    parser.add_argument("--reduce", type=Path, metavar="FOLDER", help="write what the table needs of each file there")
    given = parser.parse_args(argv)
    try:
        found = {file: read(file) for file in given.files}
        if given.reduce:
            given.reduce.mkdir(parents=True, exist_ok=True)
            for file, content in found.items():
                (given.reduce / file.name).write_text(json.dumps(content, indent=1) + "\n")
        made = table(list(found.values()))
        if given.write:
            given.write.write_text(inserted(given.write.read_text(), made))
        elif not given.reduce:
            print(made)
    except (TableError, OSError) as error:
        print(f"table.py: {error}", file=sys.stderr)
        return 2
    return 0


def read(file: Path) -> dict[str, Any]:
    """A file's machine and rows. TableError names the file."""
    try:
        return reduced(json.loads(file.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableError(f"'{file}' is damaged or of another kind: {error!r}") from None
    except TableError as error:
        raise TableError(f"'{file}': {error}") from None


if __name__ == "__main__":
    sys.exit(main())
