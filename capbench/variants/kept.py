"""Where variants are kept, so that a claim can be tried again on one given by its id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.reading import read_text
from capbench.store.files import write_whole
from capbench.store.store import beside
from capbench.variants.codec import AnyVariant, plain, variant_of


class Kept:
    """The variants that claims were tried on, by id, in files below the cache."""

    def __init__(self, root: Path) -> None:
        self._folder = beside(root, "variants")

    def keep(self, variant: AnyVariant) -> None:
        """Write it down, unless it is there already. With pytest-xdist all processes write the same variants."""
        file = self._folder / f"{variant.id}.json"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(plain(variant)))

    def find(self, id_: str, reports: Path) -> AnyVariant:
        """The variant of an id, from the cache or from a report below a folder. Raises UsageError if there is none."""
        file = self._folder / f"{Path(id_).name}.json"
        places = [*([file] if file.exists() else []), *sorted(reports.rglob("results.json"))]
        for place in places:
            try:
                raw = json.loads(read_text(place))
                for trial in [{"id": id_, "variant": raw}] if place == file else _trials(raw):
                    if trial["id"] == id_:
                        return variant_of(trial["variant"])
            except UsageError as error:
                raise UsageError(f"--capbench-replay={id_}: {place}: {error}") from None
            except (OSError, AttributeError, KeyError, TypeError, ValueError):
                continue  # damaged, or not one of our reports: the next may have it
        found = sum(place != file for place in places)
        below = (
            f"{found} report{'s' * (found != 1)} below '{reports}'" if reports.is_dir() else f"'{reports}' (no folder)"
        )
        raise UsageError(
            f"--capbench-replay={id_}: no such variant; looked in '{self._folder}' and in {below}: give "
            "--capbench-report=FOLDER, the folder of the report that names this id, or the --capbench-cache of its run"
        )


def _trials(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All trials of a results.json."""
    return [trial for record in results.get("records", ()) for trial in record.get("trials", ())]
