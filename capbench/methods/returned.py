"""What a method returned, looked at before anything is measured on it: what it is, and what would be right, in one line.

The same for a run and for `capbench check-method`. Imports torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from capbench.errors import MethodError
from capbench.methods.wrapped import MERGE, Wrapped, maker, wrapped
from capbench.models.base import Model

_RIGHT = "it must return the fine-tuned Model"


def checked(returned: Any, base: Model, name: str, *, device: str = "cpu") -> Model:
    """The model that the method `name` returned, as it is. base: what it was given. device: config.device.

    Raises MethodError, one line, unless it is a Model whose weights have the base model's names, shapes and dtypes, and numbers,
    on one device.
    """
    if (fault := form_fault(returned) or weights_fault(returned, base, device=device)) is not None:
        raise MethodError(f"method {name!r} {fault}")
    model: Model = returned
    return model


def form_fault(returned: Any) -> str | None:
    """Why what a method returned is not a Model: "returned None; it must return …"; None if it is one."""
    if isinstance(returned, Model):
        return None
    if isinstance(returned, nn.Module):
        return f"returned {_module(returned)}"
    return f"returned {_kind(returned)}; {_hint(returned) or _RIGHT}"


def weights_fault(model: Model, base: Model, *, device: str = "cpu") -> str | None:
    """Why a model cannot be the base model, fine-tuned, or None; names, shapes, dtypes, then where the numbers are.

    Of several faults of one kind the first is named, in the order of the base model's weights. device: where the method was to
    train; weights may be there or where the base model's are.
    """
    expected = base.state_dict()
    try:
        found = model.state_dict()
    except Exception as error:
        return f"returned a model whose state_dict() fails ({type(error).__name__}: {' '.join(str(error).split())})"
    if found.keys() != expected.keys():
        return f"returned {_names(found, expected)}"
    if no_numbers := [key for key, v in found.items() if not isinstance(v, Tensor) or not _has_numbers(v)]:
        return f"returned a model whose weights hold no numbers ({_first(no_numbers)} on meta); return the trained ones"
    if parts := [key for key, v in found.items() if hasattr(v, "full_tensor")]:
        return f"returned a model split over processes ({_first(parts)} is a DTensor); return whole weights (`.full_tensor()`)"
    if other := [key for key in expected if found[key].shape != expected[key].shape]:
        old, new = tuple(expected[other[0]].shape), tuple(found[other[0]].shape)
        return f"returned a model of another shape: {other[0]!r} is {new}, the base model has {old}{_more(other)}"
    return _types(found, expected) or _devices(found, expected, device)


def _names(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    if (how := wrapped(found, expected)) is not None:
        made = f" ({how.by})" if how.by else ""
        return f"a wrapped model: {how.names}{made}; {_unwrap(how)} before returning"
    lacks = [key for key in expected if key not in found]
    adds = [key for key in found if key not in expected]
    words = [f"lacks {_first(lacks)}"] if lacks else []
    words += [f"adds {_first(adds)}"] if adds else []
    right = "its weights must have the names of the base model's" if lacks else "merge adapters before returning"
    return f"a model of another shape: it {' and '.join(words)}; {right}"


def _unwrap(how: Wrapped) -> str:
    if how.cure:
        return how.cure
    inner = f"{how.place}.{how.part}" if how.place else f".{how.part}"
    return f"put `{inner}` back in place of `{how.place}`" if how.place else f"take the model's `{inner}`"


def _types(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    other = [key for key in expected if found[key].dtype != expected[key].dtype]
    if other:
        old, new = expected[other[0]].dtype, found[other[0]].dtype
        cure = "`.float()`" if old == torch.float32 and new.is_floating_point else f"weights of {old}"
        return (
            f"returned a model of another type: {_first(other)} is {new}, the base model's {old}; return it with {cure}"
        )
    sparse = [key for key in expected if found[key].layout != expected[key].layout]
    if sparse:
        return f"returned {_first(sparse)} as {found[sparse[0]].layout}; return dense weights (`.to_dense()`)"
    return None


def _devices(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], device: str) -> str | None:
    allowed = {torch.device(device).type, *(v.device.type for v in expected.values())}
    if away := [key for key, v in found.items() if v.device.type not in allowed]:
        return f"returned {_first(away)} on {found[away[0]].device}; return the model on config.device ({device})"
    devices: dict[torch.device, str] = {}
    for key, value in found.items():
        devices.setdefault(value.device, key)
    if len(devices) > 1:
        where = ", ".join(f"{key!r} on {place}" for place, key in devices.items())
        return f"returned a model on several devices ({where}); return it with `.to(config.device)`"
    return None


def _has_numbers(value: Tensor) -> bool:
    return not (value.is_meta or nn.parameter.is_lazy(value))


def _module(module: nn.Module) -> str:
    """A module that is no Model: usually it holds one."""
    called = _a(type(module).__name__)
    inner = next((path for path, part in module.named_modules() if isinstance(part, Model)), None)
    if inner is None:
        return f"{called}, which is no Model of capbench; {_RIGHT}, such as copy.deepcopy(model) with new weights"
    how = wrapped(module.get_submodule(inner).state_dict(), ())
    if how is not None and how.cure == MERGE:
        return f"{called}, whose adapters are not merged into the model; {MERGE} and return the result"
    made = next((by for part in inner.split(".") if (by := maker(part)) and part != "module"), "")
    return f"{called}{f' ({made})' if made else ''} around the model; return its `.{inner}`"


def _kind(value: object) -> str:
    if value is None:
        return "None"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if _is_state_dict(value):
        return "a state dict"
    if inspect.iscoroutine(value):
        value.close()  # or Python warns that nobody awaited it
        return "a coroutine"
    return _a(type(value).__name__)


def _hint(value: object) -> str:
    """How to come from such a value to the model, if that is known."""
    if _is_state_dict(value):
        return "load it into copy.deepcopy(model) (`.load_state_dict(…)`) and return that model"
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        return "write it with `def` and `return`, not with `async def` or `yield`"
    if isinstance(value, Sequence) and not isinstance(value, str):
        models = [i for i, part in enumerate(value) if isinstance(part, nn.Module)]
        return f"return only the fine-tuned Model, its element {models[0]}" if models else ""
    held = [name for name, part in getattr(value, "__dict__", {}).items() if isinstance(part, Model)]
    return f"return its `.{held[0]}`, the fine-tuned Model" if held else ""


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'AEIOaeio' else 'a'} {noun}"


def _first(keys: Sequence[str]) -> str:
    return f"{keys[0]!r}{_more(keys)}"


def _more(keys: Sequence[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
