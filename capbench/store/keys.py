"""Content addresses: a configuration as canonical JSON, and the hash of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

_PLAIN = frozenset({str, int, bool, type(None)})


def key_of(config: Mapping[str, Any]) -> str:
    """The first 32 hex digits of the SHA-256 of `config` as canonical JSON.

    Two configs have the same key if and only if they are equal, where 1, 1.0 and True differ, tuples are lists, and the
    order of dictionary keys does not matter. Raises TypeError or ValueError (NaN, infinity) naming the place and value.
    """
    return sha256(canonical(plain(config, "config")))[:32]


def plain(value: Any, where: str) -> Any:
    """`value` as JSON reads it back. Raises TypeError or ValueError that names `where` and the value."""
    return _plain(value, where, {})


def _plain(value: Any, where: str, known: dict[int, Any]) -> Any:
    """known: dictionaries that were looked at before, by identity: a configuration may hold the same one many times."""
    if type(value) in _PLAIN:  # most values are, and this is quicker than a match
        return value
    if id(value) in known:
        return known[id(value)]
    match value:
        case None | bool() | str() | int():
            return value
        case float() if math.isfinite(value):
            return value + 0.0  # -0.0 == 0.0, so they must read alike
        case list() | tuple():
            return [_plain(item, f"{where}[{i}]", known) for i, item in enumerate(value)]
        case Mapping() if all(isinstance(key, str) for key in value):  # json would write the key 1 as "1"
            known[id(value)] = {key: _plain(item, f"{where}[{key!r}]", known) for key, item in value.items()}
            return known[id(value)]
    error = ValueError if isinstance(value, float) else TypeError
    raise error(f"{where} is {value!r}: JSON has None, bool, int, finite float, str, list and dict with str keys")


def canonical(plain: Any) -> bytes:
    """The one text of a JSON value that `plain` gave: equal values have equal texts."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """The SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
