"""The methods that come with capbench, by name."""

from __future__ import annotations

from dataclasses import replace

from capbench.methods.specs.base import Located, Method, Scheme
from capbench.methods.specs.module import Module

BUILT_IN = {
    "full": "capbench.methods.finetuning.full:full",
    "frozen-trunk": "capbench.methods.finetuning.frozen_trunk:frozen_trunk",
    "identity": "capbench.methods.finetuning.identity:identity",
    "bitfit": "capbench.methods.finetuning.bitfit:bitfit",
    "lora": "capbench.methods.finetuning.lora:lora",
    "dora": "capbench.methods.finetuning.dora:dora",
    "ia3": "capbench.methods.finetuning.ia3:ia3",
    "last-k": "capbench.methods.finetuning.last_k:last_k",
    "l2-sp": "capbench.methods.finetuning.l2_sp:l2_sp",
    "ewc": "capbench.methods.finetuning.ewc:ewc",
    "replay": "capbench.methods.finetuning.replay:replay",
    "wise-ft": "capbench.methods.finetuning.wise_ft:wise_ft",
    "lp-ft": "capbench.methods.finetuning.lp_ft:lp_ft",
    "gradient-ascent": "capbench.methods.deletion.gradient_ascent:gradient_ascent",
    "grad-diff": "capbench.methods.deletion.grad_diff:grad_diff",
    "npo": "capbench.methods.deletion.npo:npo",
    "simnpo": "capbench.methods.deletion.simnpo:simnpo",
    "rmu": "capbench.methods.deletion.rmu:rmu",
    "randft": "capbench.methods.deletion.randft:randft",
    "wrapper-surgery": "capbench.methods.deletion.wrapper_surgery:wrapper_surgery",
}


class BuiltIn(Scheme):
    """`lora`: a name in BUILT_IN, which stands for a module's function. It consists of no file of the user's."""

    form = "a built-in name"
    _module = Module()

    def matches(self, spec: str) -> bool:
        """Whether it is a built-in name."""
        return spec in BUILT_IN

    def find(self, spec: str) -> Located:
        """The module's function, under the built-in name."""
        return replace(self._module.find(BUILT_IN[spec]), spec=spec)

    def load(self, spec: str, name: str) -> Method:
        """Import the module of capbench."""
        return self._module.load(BUILT_IN[spec], name)
