"""Expectations, as a TOML file states them or as one of the built-in files does (preserve.toml, delete.toml).

    extends = "delete"                      # optional: preserve or delete, whose entries then come before those of this file

    [[claim]]                               # about a test of a claim
    pattern = "wrapper.pruning[*c_tr=1,*]"  # against claim and case, as in wrapper.pruning[prior=low,c_tr=1,lr=small]
    expect = "refuted"                      # supported, refuted, inconclusive or invalid; or a list of them
    reason = "the method deletes"           # why, for the report
    because = "nothing to revive*"          # optional: accept `invalid` only for such a reason; or a list of patterns

    [[verdict]]                             # about a capability verdict
    pattern = "pcfg counter*"               # against task and case, as in pcfg counter a to b[prior=low,c_tr=1,lr=small]
    expect = "deleted"                      # intact, wrapped, deleted, destroyed or undecided; or a list of them
    finetuned = ["learned", "shortcut"]     # optional: what became of the fine-tuned task
    collateral = "kept"                     # optional: what became of all else, where the base model knew anything else
    reason = "the method deletes"           # `because`, if given, is about `undecided`

In a pattern `*` stands for any text and `?` for one character; nothing else is special, not even brackets. The whole id must
match. If several entries match, the last one counts: general ones first, then exceptions. What no entry matches is expected as
the paper says. Expectations are strict: a status that is not in `expect` is a failure, even `supported`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.reading import EncodingError, read_text
from capbench.results import CapabilityState, CollateralState, FinetunedState, Status

PAPER = "paper"
BUILT_IN = ("preserve", "delete")  # files of these names lie beside this module
STATUSES = tuple(map(str, Status))
STATES = tuple(map(str, CapabilityState))
FINETUNED = tuple(map(str, FinetunedState))
COLLATERAL = tuple(map(str, CollateralState))
UNDECIDABLE = {"claim": str(Status.INVALID), "verdict": str(CapabilityState.UNDECIDED)}  # the ends `because` is about
KEYS = {
    "claim": ("pattern", "expect", "reason", "because"),
    "verdict": ("pattern", "expect", "reason", "because", "finetuned", "collateral"),
}


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One entry. kind: 'claim' or 'verdict'; own: from the user's file, so it is reported if it matches nothing."""

    kind: str
    pattern: str
    expect: tuple[str, ...]
    reason: str
    because: tuple[str, ...] = ()
    finetuned: tuple[str, ...] = ()
    collateral: tuple[str, ...] = ()
    own: bool = True


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """Everything expected of a run, in the order of the files; empty: what the paper says. name: as given."""

    name: str = PAPER
    claims: tuple[Expectation, ...] = ()
    verdicts: tuple[Expectation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.claims or self.verdicts)


def read(name: str) -> Expectations:
    """The expectations of this name: paper, preserve, delete, or the path of a file. Raises UsageError, one line."""
    if name == PAPER:
        return Expectations()
    if name in BUILT_IN:
        return _built_in(name)
    try:
        text = read_text(Path(name))
    except EncodingError as error:
        raise UsageError(f"{name} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        why = getattr(error, "strerror", None) or str(error)
        known = ", ".join((PAPER, *BUILT_IN))
        raise UsageError(f"{name!r} cannot be read ({why}); give {known} or the path of a TOML file") from None
    return parse(text, name)


def parse(text: str, name: str) -> Expectations:
    """The expectations that this TOML text states; name: for messages. Raises UsageError, one line."""
    return _parsed(text, name, own=True)


def _built_in(name: str) -> Expectations:
    file = Path(__file__).with_name(f"{name}.toml")
    return _parsed(file.read_text(encoding="utf-8"), name, own=False)


def _parsed(text: str, name: str, *, own: bool) -> Expectations:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not valid TOML: {error}") from None
    _known(raw, ("extends", *KEYS), name)
    found = {kind: _entries(raw.get(kind, []), kind, name, own) for kind in KEYS}
    before = _extended(raw, name) if "extends" in raw else Expectations()
    if not any(found.values()):
        raise UsageError(f"{name} expects nothing: it has neither [[claim]] nor [[verdict]]")
    return Expectations(
        name=name, claims=(*before.claims, *found["claim"]), verdicts=(*before.verdicts, *found["verdict"])
    )


def _extended(raw: Mapping[str, Any], name: str) -> Expectations:
    if raw["extends"] not in BUILT_IN:
        raise UsageError(f"{name}: extends = {raw['extends']!r} must be one of {', '.join(BUILT_IN)}")
    return _built_in(raw["extends"])


def _entries(raw: Any, kind: str, name: str, own: bool) -> tuple[Expectation, ...]:
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise UsageError(f"{name}: {kind} must be given as [[{kind}]], once for each pattern")
    found = [_entry(entry, kind, f"{name}: [[{kind}]] {i}", own) for i, entry in enumerate(raw, 1)]
    seen: dict[str, int] = {}
    for i, entry in enumerate(found, 1):
        if entry.pattern in seen:
            first = seen[entry.pattern]
            raise UsageError(f"{name}: [[{kind}]] {first} and {i} have the same pattern {entry.pattern!r}; keep one")
        seen[entry.pattern] = i
    return tuple(found)


def _entry(raw: Mapping[str, Any], kind: str, where: str, own: bool) -> Expectation:
    _known(raw, KEYS[kind], where)
    pattern = _text(raw, "pattern", where)
    where = f"{where} ({pattern!r})"
    expect = _words(raw, "expect", where, STATUSES if kind == "claim" else STATES)
    because = _words(raw, "because", where, None) if "because" in raw else ()
    if because and UNDECIDABLE[kind] not in expect:
        raise UsageError(f"{where}: because applies to {UNDECIDABLE[kind]!r} only, which expect does not list")
    return Expectation(
        kind=kind,
        pattern=pattern,
        expect=expect,
        reason=_text(raw, "reason", where),
        because=because,
        finetuned=_words(raw, "finetuned", where, FINETUNED) if "finetuned" in raw else (),
        collateral=_words(raw, "collateral", where, COLLATERAL) if "collateral" in raw else (),
        own=own,
    )


def _known(raw: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")


def _text(raw: Mapping[str, Any], key: str, where: str) -> str:
    """A string as one line, not empty."""
    if key not in raw:
        raise UsageError(f"{where}: {key} is missing")
    value = raw[key]
    if not isinstance(value, str) or not value.split():
        raise UsageError(f"{where}: {key} = {value!r} must be a string that is not empty")
    return " ".join(value.split())


def _words(raw: Mapping[str, Any], key: str, where: str, known: tuple[str, ...] | None) -> tuple[str, ...]:
    """One string or a list of them, each in `known` unless that is None."""
    if key not in raw:
        raise UsageError(f"{where}: {key} is missing")
    given = raw[key] if isinstance(raw[key], list) else [raw[key]]
    if not given or not all(isinstance(word, str) and word for word in given):
        raise UsageError(f"{where}: {key} = {raw[key]!r} must be a string or a list of strings")
    for word in given:
        if known is not None and word not in known:
            raise UsageError(f"{where}: unknown {key} {word!r}; known: {', '.join(known)}")
    return tuple(dict.fromkeys(given))
