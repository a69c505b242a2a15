"""What judging a pair of models will cost, from one pass and one step of training."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace

from capbench.measure.attacks.ground import Ground
from capbench.measure.attacks.named import attacks
from capbench.measure.attacks.relearning import last_blocks, with_text
from capbench.models.base import Model

CONTROLS = 2  # runs of an attack besides that on the model after the change


def seconds(model: Model, ground: Ground, names: Sequence[str]) -> tuple[float, float]:
    """About how long the attacks of these names take, without any control and with every one. Takes a few seconds itself."""
    tried = attacks(names, model, model, ground)
    began = time.perf_counter()
    ground.score(model, "select")
    select = time.perf_counter() - began
    began = time.perf_counter()
    ground.loss(model)
    text = time.perf_counter() - began
    one = select * (1 + len(ground.items["evaluate"]) / len(ground.items["select"])) + text
    choosing = {"steering": len(ground.effort.scales) * ground.effort.places, "ablation": ground.effort.places}
    passes = len(tried) * one + sum(choosing.get(name, 0) for name in names) * select
    steps = sum(attack.trains for attack in tried)
    if ground.of.kind == "facts" and "reft" in names:  # also on permuted answers and on unrelated facts
        steps += 2 * ground.effort.steps
    least = passes + steps * (_step(model, ground) if steps else 0.0)
    return least, (1 + CONTROLS) * least


def _step(model: Model, ground: Ground) -> float:
    own = copy.deepcopy(model)
    config = replace(ground.train(model, ground.effort.rates[1]), steps=1)
    loss = with_text(ground.retain, config, ground.effort.beside)
    began = time.perf_counter()
    last_blocks(own, ground.prompts["train"], config, loss)
    return time.perf_counter() - began


def words(least: float, most: float) -> str:
    """As in `about 4 to 11 min`."""
    low, high = (f"{each / 60:.0f}" if each >= 60 else "1" for each in (least, most))
    return f"about {low} to {high} min" if low != high else f"about {low} min"
