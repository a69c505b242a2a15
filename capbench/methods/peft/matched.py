"""Names in a PEFT config against the model they were put on: each must have matched, for PEFT drops the others in silence."""

from __future__ import annotations

import importlib
import itertools
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from capbench.errors import MethodError
from capbench.models.base import Model

_PATTERN = re.compile(r".*_pattern")  # rank_pattern, alpha_pattern, n_frequency_pattern, …: a name -> a number
_LAYERS = "layers_pattern"


def check_names(model: Model, adapter: Any, method: str, *, all_linear: bool = False) -> None:
    """Raises MethodError that names what is in the config and matches nothing of the model, or matches it to no effect.

    adapter: a PeftConfig whose target_modules are given. all_linear: whether they stand for "all-linear".
    """
    _refuse(_expressions(adapter), method)
    names = [name for name, _ in model.named_modules() if name]
    adapted = targeted(adapter, names)
    layers = list(_layers(adapter, adapted, names, one_text=all_linear or isinstance(adapter.target_modules, str)))
    wrong = (
        layers,
        () if all_linear or layers else _targets(adapter, adapted),
        _patterns(adapter, adapted, model),
        _excluded(adapter, names),
        _feedforward(adapter, adapted),
        _blocks(adapter, adapted),
        _parameters(adapter, model),
        _tokens(adapter, adapted, model),
        _no_bias(adapter, adapted, model),
    )
    _refuse(itertools.chain(*wrong), method)


def check_wrapped(wrapped: Any, model: Model, adapter: Any, method: str) -> None:
    """Raises MethodError that names what PEFT left out of the model with the adapter. model: the one without."""
    wrong = (
        _targets(adapter, list(wrapped.base_model.targeted_module_names)),
        _saved(adapter, wrapped),
        _trained_biases(adapter, wrapped, model),
        _decomposed(adapter, wrapped),
    )
    _refuse(itertools.chain(*wrong), method)
    if not any(p.requires_grad and p.numel() for p in wrapped.parameters()):
        raise MethodError(f"{method}: the adapter has no weights to train")


def _refuse(wrong: Iterable[str], method: str) -> None:
    if found := list(wrong):
        raise MethodError(f"{method}: {textwrap.shorten('; '.join(found), 900, placeholder=' …')}")


def targeted(adapter: Any, names: Iterable[str]) -> list[str]:
    """The modules that PEFT would put the adapter on."""
    exists = importlib.import_module("peft.tuners.tuners_utils").check_target_module_exists
    return [name for name in names if exists(adapter, name)]


def matches(target: str, name: str) -> bool:
    """Whether a name in a list is a module's, or its last parts, as PEFT compares them."""
    return f".{name}".endswith(f".{target}")


def _expressions(adapter: Any) -> Iterator[str]:
    """Settings that are regular expressions, or have them as keys, and cannot be read as such."""
    for setting, value in vars(adapter).items():
        if setting in ("exclude_modules", "feedforward_modules"):
            given = [value] if isinstance(value, str) else []
        elif setting == "modules_to_save" or _PATTERN.fullmatch(setting):
            given = [value] if isinstance(value, str) else list(value or ())
        else:
            continue
        for text in given:
            try:
                re.compile(text)
            except re.error as error:
                yield f"{setting} {text!r} is not a regular expression: {error.msg}"


def _targets(adapter: Any, adapted: list[str]) -> Iterator[str]:
    targets = adapter.target_modules
    if isinstance(targets, str) or not targets:
        return
    if lost := [t for t in sorted(targets) if not any(matches(t, name) for name in adapted)]:
        yield (
            f"target_modules {_quoted(lost)} got no adapter: layers_to_transform, exclude_modules or modules_to_save "
            "leave nothing of them"
        )


def _layers(adapter: Any, adapted: list[str], names: list[str], *, one_text: bool) -> Iterator[str]:
    layers = getattr(adapter, "layers_to_transform", None)
    if layers is None:
        return
    if layers == []:
        yield "layers_to_transform is empty, which PEFT takes for all layers; leave it out"
        return
    wanted = [layers] if isinstance(layers, int) else list(layers)
    given: Any = getattr(adapter, _LAYERS, None)
    patterns: list[str] = [given] if isinstance(given, str) and given else list(given or ())
    if one_text:
        yield "layers_to_transform takes no effect where target_modules is one text; give a list, or name the layers in the text"
        return
    where = _quoted(_lists(names))
    where = _quoted(_lists(names))
    found = {name: _layer(name, patterns) for name in adapted}
    reached, used = {index for _, index in found.values()}, {pattern for pattern, _ in found.values()}
    lost = [str(i) for i in wanted if i not in reached]
    unknown = [p for p in patterns if p not in {_layer(name, [p])[0] for name in (adapted if not lost else names)}]
    if unknown or (not lost and (unknown := [p for p in patterns if p not in used])):
        yield f"{_LAYERS} {_quoted(unknown)} matched nothing; the model's layers are in {where}"
    elif not patterns and not reached & set(wanted):
        yield f'layers_to_transform matched nothing; say where the layers are: "{_LAYERS}": {where}'
    elif lost:
        there = sorted({int(i) for name in names for i in re.findall(r"\.(\d+)\.", name)})
        yield (
            f"layers_to_transform {', '.join(lost)} matched nothing; the model's layers are "
            f"{', '.join(map(str, there))}, in {where}"
        )
    if whole := [name for name, (_, index) in found.items() if index not in wanted]:
        why = "is in no layer" if found[whole[0]][1] is None else "target_modules names in full"
        yield f"layers_to_transform takes no effect on {whole[0]!r}, which {why}; take it out"


def _layer(name: str, patterns: list[str]) -> tuple[str, int | None]:
    """The pattern and the index by which PEFT finds a module's layer."""
    for pattern in patterns:
        if match := re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", name):
            return pattern, int(match[1])
    match = None if patterns else re.match(r".*?\.[^.]*\.(\d+)\.", name)
    return "", int(match[1]) if match else None


def _lists(names: list[str]) -> list[str]:
    """Where numbered modules are, as `blocks` for `blocks.0.mlp_in`."""
    return sorted({match[1] for name in names if (match := re.fullmatch(r"(.*?)\.\d+", name))})


def _rule(kind: str) -> Callable[[str, str], bool]:
    """Whether a key of a pattern is a module's, as this kind of adapter compares them."""
    if kind == "OSF":
        return lambda key, name: bool(re.search(key, name))
    if kind in ("C3A", "FOURIERFT"):
        return lambda key, name: key == name or bool(re.match(rf".*\.{key}$", name))
    return lambda key, name: bool(re.match(rf"(.*\.)?({key})$", name))


def _patterns(adapter: Any, adapted: list[str], model: Model) -> Iterator[str]:
    rule = _rule(str(getattr(adapter.peft_type, "value", adapter.peft_type)))
    names = [*adapted, *_targeted_parameters(adapter, model)]
    for setting, pattern in vars(adapter).items():
        if setting == _LAYERS or not _PATTERN.fullmatch(setting) or not isinstance(pattern, Mapping):
            continue
        matched = {key: {name for name in names if rule(key, name)} for key in pattern}
        if lost := [key for key in pattern if not matched[key]]:
            yield f"{setting} {_quoted(lost)} matched nothing that the adapter is on: {', '.join(names)}"
        seen: set[str] = set()
        for key, found in matched.items():  # the first key that matches counts
            if found and found <= seen:
                yield f"{setting} {key!r} takes no effect: keys before it match all that it matches"
            seen |= found


def _excluded(adapter: Any, names: list[str]) -> Iterator[str]:
    excluded = getattr(adapter, "exclude_modules", None)
    if not excluded:
        return
    targets = adapter.target_modules
    if isinstance(targets, str):
        wanted = [name for name in names if re.fullmatch(targets, name)]
    else:
        wanted = [name for name in names if any(matches(t, name) for t in targets)]
    if lost := _lost(excluded, wanted):
        yield f"exclude_modules {_quoted(lost)} matched nothing that target_modules names"


def _lost(given: str | Collection[str], names: Collection[str]) -> list[str]:
    """Those of the given names that match none of `names`; a string is one pattern for all of a name."""
    if isinstance(given, str):
        return [] if any(re.fullmatch(given, name) for name in names) else [given]
    return [g for g in sorted(given) if not any(matches(g, name) for name in names)]


def _saved(adapter: Any, wrapped: nn.Module) -> Iterator[str]:
    saved: Collection[str] = getattr(adapter, "modules_to_save", None) or ()
    if isinstance(saved, str):
        yield f"modules_to_save is {saved!r}; give a list"
    kept = [name for name, part in wrapped.named_modules() if type(part).__name__ == "ModulesToSaveWrapper"]
    if lost := [s for s in sorted(saved) if not any(matches(s, name) for name in kept)]:
        yield f"modules_to_save {_quoted(lost)} matched nothing in the model"


def _feedforward(adapter: Any, adapted: list[str]) -> Iterator[str]:
    given = getattr(adapter, "feedforward_modules", None) or ()
    if lost := _lost(given, adapted):
        yield f"feedforward_modules {_quoted(lost)} matched nothing that target_modules names"


def _blocks(adapter: Any, adapted: list[str]) -> Iterator[str]:
    blocks = getattr(adapter, "use_bdlora", None)
    for setting in ("target_modules_bd_a", "target_modules_bd_b"):
        given = (blocks and getattr(blocks, setting, None)) or ()
        if lost := [part for part in given if not any(part in name for name in adapted)]:
            yield f"use_bdlora.{setting} {_quoted(lost)} matched nothing that target_modules names"


def _parameters(adapter: Any, model: Model) -> Iterator[str]:
    adapted = _targeted_parameters(adapter, model)
    targets = getattr(adapter, "target_parameters", None) or ()
    if lost := [t for t in targets if not any(matches(t, name) for name in adapted)]:
        yield f"target_parameters {_quoted(lost)} matched nothing in the model"


def _targeted_parameters(adapter: Any, model: Model) -> list[str]:
    targets = getattr(adapter, "target_parameters", None) or ()
    return [name for name, _ in model.named_parameters() if any(matches(t, name) for t in targets)]


def _tokens(adapter: Any, adapted: list[str], model: Model) -> Iterator[str]:
    tables = {name: part for name, part in model.named_modules() if isinstance(part, nn.Embedding)}
    if hasattr(adapter, "token_indices"):
        setting, given = "token_indices", dict.fromkeys(adapted, adapter.token_indices)
    else:
        setting, given = "trainable_token_indices", getattr(adapter, "trainable_token_indices", None) or {}
    if isinstance(given, list):
        yield f'{setting} is a list; say of which embedding, as in {{"{next(iter(tables))}": {given}}}'
        return
    for target, indices in given.items():
        found = [part for name, part in tables.items() if matches(target, name)]
        if not found:
            yield f"{setting} {target!r} matched no embedding; the model has {', '.join(tables)}"
        if not indices:
            yield f"{setting} lists no tokens of {target!r}"
        for table in found:
            if wrong := [i for i in indices if not 0 <= i < table.num_embeddings]:
                yield f"{setting} {wrong[0]} is no token of {target!r}, which has 0 to {table.num_embeddings - 1}"


def _no_bias(adapter: Any, adapted: list[str], model: Model) -> Iterator[str]:
    bare = [name for name in adapted if getattr(model.get_submodule(name), "bias", None) is None]
    kind = str(getattr(adapter.peft_type, "value", adapter.peft_type))
    setting = "lora_bias" if getattr(adapter, "lora_bias", False) else f"type {kind}" if kind == "BEFT" else ""
    if setting and bare:
        yield f"{setting} needs maps with a bias, which {_quoted(bare)} has not; take it out of target_modules"


def _trained_biases(adapter: Any, wrapped: Any, model: Model) -> Iterator[str]:
    wanted = getattr(adapter, "bias", "none")
    own = {name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"}
    now = {name.replace(".base_layer", ""): p for name, p in wrapped.get_base_model().named_parameters()}
    if wanted != "none" and not any(now[name].requires_grad for name in own & now.keys()):
        yield f"bias {wanted!r} takes no effect: no map in target_modules has a bias"


def _decomposed(adapter: Any, wrapped: nn.Module) -> Iterator[str]:
    if getattr(adapter, "decompose_both", False) and not any("lokr_w1_a" in n for n, _ in wrapped.named_parameters()):
        yield f"decompose_both takes no effect at r {adapter.r}: the smaller factor is small enough as it is; lower r"


def _quoted(names: Collection[str]) -> str:
    return ", ".join(map(repr, names))
