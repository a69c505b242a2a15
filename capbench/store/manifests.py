"""Reading a manifest: a JSON file that may come from anywhere, every value of which is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from capbench.errors import UsageError
from capbench.reading import EncodingError, read_text

T = TypeVar("T")


def read(file: Path, parse: Callable[[Any], T], *, schema: int, again: str) -> T | None:
    """What `parse` makes of the file's JSON, None where there is no file.

    parse: raises KeyError for what is missing, TypeError or ValueError for what is wrong. again: what repairs a damaged manifest.
    Raises UsageError, one line, for a file that cannot be read, is damaged or of another schema.
    """
    try:
        raw = json.loads(read_text(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"'{file}' cannot be read ({error.strerror or error})") from None
    except EncodingError as error:
        raise UsageError(f"'{file}' {error}, or {again}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{file}' is damaged: it is not JSON ({' '.join(str(error).split())}); {again}") from None
    if isinstance(raw, dict) and raw.get("schema") != schema:
        raise UsageError(f"'{file}' has schema {raw.get('schema')!r}; this capbench reads {schema}: {again}")
    try:
        return parse(raw)
    except KeyError as error:
        raise UsageError(f"'{file}' is damaged: {error} is missing; {again}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"'{file}' is damaged: {' '.join(str(error).split())}; {again}") from None


def checked(value: Any, *kinds: type) -> Any:
    """The value, if it is of one of these types; True and False are not numbers. Raises TypeError with the value."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{value!r:.60} should be of type {kinds[0].__name__}")
    return value


def ints(value: Any) -> tuple[int, ...]:
    """A list of whole numbers. Raises TypeError if it is not one."""
    return tuple(checked(each, int) for each in checked(value, list))
