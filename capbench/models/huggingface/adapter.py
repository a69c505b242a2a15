"""A folder with an adapter of the PEFT library, merged into the model that it was trained on. Imports peft."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.huggingface.identity import digest, identity
from capbench.models.huggingface.model import HuggingFace
from capbench.models.huggingface.source import ADAPTER, find
from capbench.reading import read_text
from capbench.store.keys import key_of

WEIGHTS = "adapter_model.safetensors"


def is_adapter(path: str | Path) -> bool:
    """Whether the path is a folder with an adapter."""
    return (Path(path).expanduser() / ADAPTER).is_file()


def adapter_identity(path: str | Path) -> str:
    """32 hex digits of the SHA-256 of an adapter's files. Raises UsageError, one line, where one is missing."""
    folder = _folder(path)
    return key_of({name: digest(folder / name) for name in (ADAPTER, WEIGHTS)})


def merged(model: HuggingFace, path: str | Path, *, base: str | Path | None = None) -> HuggingFace:
    """A copy of the model with the adapter's updates in its weights.

    base: where the model lies. Raises UsageError, one line, for an adapter of another model, and for one that cannot be merged.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: needs the package {error.name}; pip install 'capbench[peft]'") from None
    folder = _folder(path)
    if base is not None:
        _check_base(folder, base)
    own = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on weights that are missing: those are looked at below
        try:
            wrapped: Any = peft.PeftModel.from_pretrained(own.hf, str(folder))
        except Exception as error:  # of several libraries
            raise UsageError(f"{path}: the adapter does not fit {_named(model)}: {_shortened(error)}") from None
        _check_all_there(folder, peft.get_peft_model_state_dict(wrapped), _named(model))
        try:
            found = wrapped.merge_and_unload()
        except Exception as error:
            raise UsageError(
                f"{path}: this kind of adapter cannot be merged into weights: {_shortened(error)}"
            ) from None
    after = HuggingFace(model.config, found).eval()
    odd = sorted(after.state_dict().keys() ^ model.state_dict().keys())
    if odd:
        raise UsageError(f"{path}: the adapter leaves parts behind after merging: {', '.join(odd)[:200]}")
    return after.requires_grad_(True)


def merged_in(model: Model, *, folder: str, adapter: str, rng: torch.Generator) -> Model:
    """As a step: `merged`. adapter: its identity, so that another one in its place is another step."""
    assert isinstance(model, HuggingFace)
    if (now := adapter_identity(folder)) != adapter:
        raise UsageError(f"{folder}: the adapter there is another one ({now}) than when the run began ({adapter})")
    return merged(model, folder)


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser()
    if (folder / WEIGHTS).is_file():
        return folder
    pickles = sorted(file.name for file in folder.glob("adapter_model.*"))
    why = f"{pickles[0]}, which may be a pickle, is not read" if pickles else "its weights are missing"
    raise UsageError(f"{path}: the folder has an {ADAPTER} and no {WEIGHTS}: {why}; write it with save_pretrained")


def _check_base(folder: Path, base: str | Path) -> None:
    """Raises UsageError if the adapter names another model that is on this machine."""
    try:
        named = json.loads(read_text(folder / ADAPTER)).get("base_model_name_or_path")
        theirs = identity(find(named)) if isinstance(named, str) and Path(named).expanduser().exists() else None
    except (UsageError, ValueError, AttributeError):
        return  # a place where there is another thing now says nothing
    if theirs is not None and theirs != identity(find(base)):
        raise UsageError(f"{folder}: the adapter was trained on {named}, which is another model than {base}")


def _check_all_there(folder: Path, loaded: Any, what: str) -> None:
    """Raises UsageError if some weights of the adapter have no place in the model, or the other way round."""
    try:
        given = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{folder / WEIGHTS}: no whole safetensors file ({_shortened(error)})") from None
    for names, fault in (
        (given.keys() - loaded.keys(), f"{what} has no place for {{}}: it is another model's"),
        (loaded.keys() - given.keys(), f"the file lacks {{}}, which {what} needs"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UsageError(f"{folder}: {fault.format(min(names) + more)}")


def _named(model: HuggingFace) -> str:
    c = model.config
    return f"a {c.family} of {c.n_blocks} blocks of width {c.d_model}"


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
