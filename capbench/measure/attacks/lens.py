"""Reading the answer off an earlier layer by the model's own unembedding: the logit lens (nostalgebraist 2020)."""

from __future__ import annotations

from typing import ClassVar

from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground, Tried
from capbench.measure.language.layers import Streams, lens
from capbench.models.base import Model


class LogitLens:
    """The layer is the one that does best on the split for choosing; of equals the last, which is nearest to the answer."""

    name: ClassVar[str] = "logit lens"
    trains: ClassVar[int] = 0

    def on(self, model: Model, ground: Ground) -> Tried:
        if ground.of.is_checked:
            raise UsageError("a checker reads what is written, not layers")
        if any(len(string.answer) > 1 for split in ("select", "evaluate") for string in ground.prompts[split].strings):
            raise UsageError("a layer gives one token, and there are answers of several")
        streams = Streams(model)
        by_layer = lens(streams, ground.prompts["select"])
        select = by_layer.sum(1)
        layer = int((select == select.max()).nonzero().max())
        evaluate = lens(streams, ground.prompts["evaluate"])[layer]
        return Tried(
            select=ground.scored("select", by_layer[layer].double().tolist()),
            evaluate=ground.scored("evaluate", evaluate.double().tolist()),
            loss=ground.loss(model),
            detail=f"layer {layer} of {len(select) - 1}",
        )
