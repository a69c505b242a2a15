"""Which steps are alike, as far as their time and their room go: what was measured of some tells about the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from capbench.pipeline.steps import FineTune, Step, Training, describe

Config = Mapping[str, Any]  # of an artefact, as its metadata have it
_OF_A_TRAINING = ("batch_size", "device", "precision")


class Kinds:
    """Names of a step's kind, the narrowest first: with its method, and without."""

    def __init__(self) -> None:
        self._models: dict[str, Config] = {}  # by key of the step that a model began as

    def of(self, step: Step) -> list[str]:
        """The names of a step: types of it and of what it comes from, the model that it began as, how it trains."""
        line = [step]
        while line[-1].parents:
            line.append(line[-1].parents[0])
        origin = line[-1]
        if origin.key not in self._models:
            self._models[origin.key] = json.loads(json.dumps(describe(origin)))
        config: dict[str, Any] = {}
        if isinstance(step, Training):
            config["train"] = {name: getattr(step.train, name) for name in _OF_A_TRAINING}
        if isinstance(step, FineTune):
            config["method"] = {"spec": step.method.spec}
        return _names([type(each).__name__ for each in line], config, self._models[origin.key])


def kinds_made(made: Mapping[str, Config]) -> Iterator[tuple[str, list[str]]]:
    """Key and names of the artefacts with these configurations, by key; those that this version did not write are left out."""
    for key, config in made.items():
        with suppress(KeyError, TypeError, AttributeError):  # not written by this version
            if (line := _line(config, made)) is not None:
                yield key, _names([each["type"] for each in line], config, line[-1])


def _line(config: Config, made: Mapping[str, Config]) -> list[Config] | None:
    """The configurations of an artefact, its parent, and so on, to what its model began as; None if one is not among them."""
    line = [config]
    while (parent := line[-1].get("start", line[-1].get("base"))) is not None:
        if parent not in made:
            return None
        line.append(made[parent])
    return line


def _names(types: Sequence[str], config: Config, root: Config) -> list[str]:
    """types: of the step, its parent, …: a fine-tuned model is revived far sooner than one that never had the capability."""
    # Names of code stand there as `name@hash`: an edit changes what is made, but hardly how fast.
    model = {n: v.partition("@")[0] if isinstance(v, str) else v for n, v in root.items() if n not in ("code", "seed")}
    train = config.get("train", {})
    alike = [types, model, *(train.get(what) for what in _OF_A_TRAINING)]
    spec = config.get("method", {}).get("spec")
    return [json.dumps([*alike, spec], sort_keys=True), json.dumps(alike, sort_keys=True)]
