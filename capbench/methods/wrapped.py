"""What the names of weights tell about how a model was wrapped, and how to unwrap it. Standard library only.

For models that a method returns, and for files of weights that were trained elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MERGE = "merge the adapters (`merge_and_unload()` in PEFT)"


@dataclass(frozen=True, kw_only=True)
class Wrapped:
    """names: what is seen of the names, in words: "all 29 names begin with 'module.'". by: what makes such names, or empty.

    place: the module that is wrapped, as in `blocks.0`; empty for the whole model, or where it is not a wrapper. part: what
    lies between its name and that of its weights, as in `_orig_mod`. cure: what to do; empty if the part can be stripped.
    """

    names: str
    by: str
    place: str = ""
    part: str = ""
    cure: str = ""


# A wrapper puts its own part before the names of what it wraps.
_PARTS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "base_model.model": "PEFT",
    "module": "DataParallel or alike",
}
_WITHIN = re.compile(rf"(?P<place>.+?\.)(?P<part>(({'|'.join(map(re.escape, _PARTS))})\.)+)(?P<rest>.+)")
_ADAPTER = re.compile(r"(^|\.)(lora_[A-Za-z_]+|base_layer|modules_to_save|ia3_l|vera_lambda_[bd]|prompt_encoder)(\.|$)")

# Weights that are computed from others: how the others' names end, what does that, and how to undo it. The first match counts.
_COMPUTED = (
    (
        r"parametrizations\.(?P<name>[^.]+)\.\w+",
        "a parametrization",
        "torch.nn.utils.parametrize.remove_parametrizations",
    ),
    (r"(?P<name>\w+)_mask", "pruning", "torch.nn.utils.prune.remove"),
    (r"(?P<name>\w+)_g", "weight_norm", "torch.nn.utils.remove_weight_norm"),
    (r"(?P<name>\w+)_u", "spectral_norm", "torch.nn.utils.remove_spectral_norm"),
    (r"_packed_params\._(?P<name>)packed_params", "quantization", ""),
)


def wrapped(found: Iterable[str], expected: Collection[str]) -> Wrapped | None:
    """What was done to a model whose weights have the names `found` instead of those expected; None if they do not tell.

    The names in their order: the first one of a kind is quoted.
    """
    found = list(found)
    strange = [name for name in found if name not in expected]
    if not strange:
        return None
    if adapters := [name for name in strange if _ADAPTER.search(name)]:
        return Wrapped(names=f"{_quoted(adapters)} {_is(adapters)} of an adapter", by="PEFT", cure=MERGE)
    return (
        _prefixed(found, expected) or _computed(strange, set(expected).difference(found)) or _inside(strange, expected)
    )


def maker(part: str) -> str:
    """What makes such a part of a name: `torch.compile` for `_orig_mod`; empty if that is not known."""
    makers = [by for known, by in _PARTS.items() if re.search(rf"(^|\.){re.escape(known)}(\.|$)", part)]
    return ", ".join(makers)


def _prefixed(found: list[str], expected: Collection[str]) -> Wrapped | None:
    """Whether all names but a few begin with the same words, and are those expected without them."""
    prefix = next((n.removesuffix(e) for e in expected for n in found if n.endswith(f".{e}")), "")
    begin = [name for name in found if prefix and name.startswith(prefix)]
    if not begin or sum(name.removeprefix(prefix) in expected for name in begin) * 2 <= len(expected):
        return None
    all_ = "all" if len(begin) == len(found) else f"{len(begin)} of"
    names = f"{all_} {len(found)} names begin with {prefix!r}"
    part = prefix.removesuffix(".")
    return Wrapped(names=names, by=maker(part), part=part)


def _inside(strange: list[str], expected: Collection[str]) -> Wrapped | None:
    """Whether a part of the model is wrapped: the names are those expected without what the wrapper puts in the middle."""
    matches = [
        match for name in strange if (match := _WITHIN.match(name)) and match["place"] + match["rest"] in expected
    ]
    if not matches:
        return None
    part = matches[0]["part"].removesuffix(".")
    hold = "holds" if len(matches) == 1 else "hold"
    names = f"{_quoted([match[0] for match in matches])} {hold} {part + '.'!r}"
    return Wrapped(names=names, by=maker(part), place=matches[0]["place"].removesuffix("."), part=part)


def _computed(strange: list[str], missing: Collection[str]) -> Wrapped | None:
    for end, by, undo in _COMPUTED:
        matches = [match for name in strange if (match := re.fullmatch(rf"(?P<module>(.*\.)?){end}", name))]
        names = [match["module"] + (match["name"] or "weight") for match in matches]
        names = list(dict.fromkeys(name for name in names if name in missing))
        if names:
            module, _, last = names[0].rpartition(".")
            cure = f"undo it with `{undo}(module, {last!r})`" if undo else "dequantize it"
            return Wrapped(names=f"{_quoted(names)} {_is(names)} computed from others", by=by, place=module, cure=cure)
    return None


def _quoted(names: list[str]) -> str:
    return repr(names[0]) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
