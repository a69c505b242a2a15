"""The manifest of the bundled base models: what each is, how it was made, its file. Plain data, no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capbench.errors import UsageError

SCHEMA = 1
NAME, MODELS = "manifest.json", "models"
FOLDER = Path(__file__).parent  # the package's own
_KEY = re.compile(r"[0-9a-f]{8,64}")  # it becomes a file name
AGAIN = "run `capbench zoo build` again"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One bundled model.

    key: of its step, and so of its configuration and code. label: the step in words. code: version of the code that shaped it.
    config: the step's configuration with that of its start written out. sha256, size (bytes): of its file. accuracies: by task,
    0..1, at the end of its training, which took `steps` steps and `seconds` seconds.
    """

    key: str
    label: str
    code: str
    config: Mapping[str, Any]
    sha256: str
    size: int
    accuracies: Mapping[str, float]
    steps: int
    seconds: float

    @property
    def file(self) -> str:
        """Its path, relative to the manifest's folder."""
        return f"{MODELS}/{self.key}.safetensors"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `capbench zoo build` wrote, and the command that did. capbench, torch: their versions then."""

    capbench: str
    torch: str
    command: str
    scale: str
    seeds: tuple[int, ...]
    models: tuple[Entry, ...]

    @property
    def by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.models}

    def to_json(self) -> str:
        """As it stands in manifest.json; equal manifests give equal texts."""
        raw = {"schema": SCHEMA, **asdict(self)}
        raw["models"] = [{**asdict(entry), "file": entry.file} for entry in self.models]
        return json.dumps(raw, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder, None if there is none: nothing is bundled. Raises UsageError, one line, for a damaged one."""
    file = folder / NAME
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"'{file}' cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{file}' is damaged: it is no JSON ({' '.join(str(error).split())}); {AGAIN}") from None
    if isinstance(raw, dict) and raw.get("schema") != SCHEMA:
        raise UsageError(f"'{file}' has schema {raw.get('schema')!r}; this capbench reads {SCHEMA}: {AGAIN}")
    try:
        return _manifest(raw)
    except KeyError as error:
        raise UsageError(f"'{file}' is damaged: {error} is missing; {AGAIN}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"'{file}' is damaged: {' '.join(str(error).split())}; {AGAIN}") from None


def _manifest(raw: Any) -> Manifest:
    found = Manifest(
        capbench=_is(raw["capbench"], str),
        torch=_is(raw["torch"], str),
        command=_is(raw["command"], str),
        scale=_is(raw["scale"], str),
        seeds=tuple(_is(seed, int) for seed in _is(raw["seeds"], list)),
        models=tuple(map(_entry, _is(raw["models"], list))),
    )
    if len(found.by_key) < len(found.models):
        raise ValueError("it names a model twice")
    return found


def _entry(raw: Any) -> Entry:
    if not _KEY.fullmatch(_is(raw["key"], str)):
        raise ValueError(f"{raw['key']!r} is no key of a model")
    return Entry(
        key=raw["key"],
        label=_is(raw["label"], str),
        code=_is(raw["code"], str),
        config=_is(raw["config"], dict),
        sha256=_is(raw["sha256"], str),
        size=_is(raw["size"], int),
        accuracies={_is(name, str): float(_is(raw["accuracies"][name], float, int)) for name in raw["accuracies"]},
        steps=_is(raw["steps"], int),
        seconds=float(_is(raw["seconds"], float, int)),
    )


def _is(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{value!r:.60} should be a {kinds[0].__name__}")
    return value
