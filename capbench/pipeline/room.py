"""How much room the artefacts of a plan will take, from those of a store. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import median

from capbench.pipeline.alike import Kinds, kinds_made
from capbench.pipeline.steps import Step
from capbench.store.housekeeping import entries
from capbench.store.store import Store


class Room:
    """Bytes of artefacts by kind (see `alike`): the median over those of a store, those that came with the package too."""

    def __init__(self, store: Store) -> None:
        """Reads the metadata of all artefacts, unchecked: it is for an estimate only."""
        configs = {key: doc["config"] for key, doc in store.documents() if isinstance(doc.get("config"), Mapping)}
        self._own = {entry.key: entry.size for entry in entries(store)}
        found: dict[str, list[int]] = defaultdict(list)
        for key, names in kinds_made(configs):
            for name in names if key in self._own else ():
                found[name].append(self._own[key])
        self._by_kind = {name: median(sizes) for name, sizes in found.items()}
        self._kinds = Kinds()

    def of(self, step: Step) -> float | None:
        """Bytes of the step's artefact; None where the store holds nothing alike."""
        if step.key in self._own:
            return self._own[step.key]
        if not self._by_kind:
            return None
        return next((self._by_kind[name] for name in self._kinds.of(step) if name in self._by_kind), None)
