"""A capability file: TOML, with its items as JSON lines beside it. Every mistake costs one line that says where it is."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from capbench.errors import UsageError
from capbench.reading import read_text
from capbench.tasks.language.capability import CHOICE, EXACT, KINDS, SPLITS, Capability, Item, Kind, check_items
from capbench.tasks.language.prose import prose
from capbench.tasks.language.splitting import SHARES, divided
from capbench.tasks.language.templates import Template
from capbench.tasks.splits import Split

KEYS = (
    *("name", "kind", "items", "prompt", "answer", "paraphrases", "metric", "choices", "chance", "tokens"),
    *("group", "split", "retain"),
)
_NEEDED = ("kind", "items", "prompt", "answer")
Line = tuple[str, dict[str, Any]]  # where it stands, and its fields


def read(file: str | Path) -> Capability:
    """The capability of a file. Raises UsageError, one line that names the file and its line, for anything that is wrong."""
    place = Path(file)
    return _Reader(place, _toml(place)).capability()


def _toml(place: Path) -> dict[str, Any]:
    text = _text(place)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    for key in given:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(KEYS)}"
            raise UsageError(f"{place}: unknown key {key!r}{hint}")
    for key in _NEEDED:
        if key not in given:
            raise UsageError(f"{place}: {key!r} is missing; it needs {', '.join(_NEEDED)}")
    return given


def _text(place: Path) -> str:
    try:
        return read_text(place)
    except OSError as error:
        raise UsageError(f"{place}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise UsageError(f"{place} {error}") from None


class _Reader:
    """One file, key by key."""

    def __init__(self, place: Path, given: Mapping[str, Any]) -> None:
        self._place, self._given = place, given

    def capability(self) -> Capability:
        kind = next((kind for kind in KINDS if kind == self._word("kind")), None)
        if kind is None:
            self._wrong("kind", f"must be {' or '.join(KINDS)}")
        metric = self._metric()
        choices = self._choices(metric)
        texts, others = self._retain()
        found = Capability(
            name=self._word("name") if "name" in self._given else self._place.stem,
            kind=kind,
            metric=metric,
            items=self._items(kind, choices, metric),
            drawn=choices if isinstance(choices, int) else 0,
            chance=self._number("chance", None, 0, 1),
            tokens=int(self._number("tokens", 16, 1, 4096, whole=True) or 16),
            retain=texts,
            others=others,
        )
        check_items(found)
        return found

    def _wrong(self, key: str, right: str) -> NoReturn:
        raise UsageError(
            f"{self._place}: {key} = {json.dumps(self._given.get(key), ensure_ascii=False, default=str)}: {right}"
        )

    def _word(self, key: str) -> str:
        found = self._given[key]
        if not isinstance(found, str) or not found:
            self._wrong(key, "must be text")
        return found

    def _number(self, key: str, default: float | None, low: float, high: float, *, whole: bool = False) -> float | None:
        found = self._given.get(key, default)
        if found is None:
            return None
        right = isinstance(found, int if whole else (int, float)) and not isinstance(found, bool)
        if not right or not low <= found <= high:
            self._wrong(key, f"must be a {'whole ' * whole}number from {low} to {high}")
        return float(found)

    def _template(self, key: str, text: object) -> Template:
        if not isinstance(text, str) or not text:
            self._wrong(key, "must be text")
        try:
            return Template(text)
        except UsageError as error:
            raise UsageError(f"{self._place}: {key}: {error}") from None

    def _metric(self) -> str:
        if "metric" not in self._given:
            return CHOICE if "choices" in self._given else EXACT
        metric = self._word("metric")
        if metric in (CHOICE, EXACT):
            return metric
        where, colon, name = metric.rpartition(":")
        if not colon or not where.endswith(".py") or not name.isidentifier():
            self._wrong("metric", "must be choice, exact or file.py:function")
        file = self._place.parent / where
        if not file.is_file():
            self._wrong("metric", f"there is no file {file}")
        return f"{file}:{name}"

    def _choices(self, metric: str) -> tuple[str, ...] | int:
        found = self._given.get("choices", ())
        if metric != CHOICE and found:
            self._wrong("choices", f"only the metric choice has any, and the metric is {metric}")
        if isinstance(found, int) and not isinstance(found, bool):
            if found < 2:
                self._wrong("choices", "must be at least 2, the answer among them")
            return found
        if not isinstance(found, (list, tuple)) or not all(isinstance(c, str) and c for c in found):
            self._wrong("choices", "must be a list of texts, or how many are drawn from all answers")
        if len(set(found)) != len(found) or len(found) == 1:
            self._wrong("choices", "must be at least two, and no two the same")
        return tuple(found)

    def _items(self, kind: Kind, choices: tuple[str, ...] | int, metric: str) -> Mapping[Split, tuple[Item, ...]]:
        make = _Maker(
            prompt=self._template("prompt", self._given["prompt"]),
            answer=self._template("answer", self._given["answer"]),
            group=self._template("group", self._given["group"]) if "group" in self._given else None,
            paraphrases=tuple(self._template("paraphrases", text) for text in self._list("paraphrases")),
            choices=choices if isinstance(choices, tuple) else (),
            own_choices=metric == CHOICE and not choices,
        )
        if make.choices and len(make.answer.fields) != 1:
            self._wrong("answer", "must have exactly one field where choices are listed, as they are its values")
        given = self._given["items"]
        if isinstance(given, dict):
            if set(given) != set(SPLITS) or "split" in self._given:
                self._wrong("items", f"a table must have {', '.join(SPLITS)}, and then there is no key split")
            return {s: tuple(make.item(line) for line in self._lines("items", given[s])) for s in SPLITS}
        items = [make.item(line) for line in self._lines("items", given)]
        shares, seed = self._shares(kind)
        return divided(items, shares, seed=seed)

    def _shares(self, kind: Kind) -> tuple[Mapping[Split, float], int]:
        given = self._given.get("split", {})
        known = {*SPLITS, "seed"}
        if not isinstance(given, dict) or set(given) - known:
            self._wrong("split", f"must be a table of {', '.join(SPLITS)}, each a share, and seed")
        seed, shares = given.get("seed", 0), {split: given[split] for split in SPLITS if split in given}
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            self._wrong("split", "seed must be a whole number, at least 0")
        if not shares:
            return SHARES[kind], seed
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) and x > 0 for x in shares.values())
        if len(shares) != len(SPLITS) or not numbers or abs(sum(shares.values()) - 1) > 1e-6:
            self._wrong("split", f"{', '.join(SPLITS)} must be above 0 and sum to 1")
        return shares, seed

    def _list(self, key: str) -> list[Any]:
        found = self._given.get(key, [])
        if not isinstance(found, list):
            self._wrong(key, "must be a list")
        return found

    def _lines(self, key: str, given: object) -> list[Line]:
        names: list[Any] = given if isinstance(given, list) else [given]
        if not names or not all(isinstance(name, str) and name for name in names):
            self._wrong(key, "must be the name of a JSON-lines file, or a list of such")
        return [line for name in names for line in json_lines(self._place.parent / name)]

    def _retain(self) -> tuple[tuple[str, ...], tuple[Item, ...]]:
        """Paragraphs, and prompts with answers. Without any the English text that comes with Python."""
        if "retain" not in self._given:
            return prose(), ()
        given = self._given["retain"]
        texts, others = list[str](), list[Item]()
        for name in given if isinstance(given, list) else [given]:
            if not isinstance(name, str) or not name:
                self._wrong("retain", "must be the name of a file, or a list of such")
            file = self._place.parent / name
            if file.suffix != ".jsonl":
                texts += [" ".join(part.split()) for part in _text(file).split("\n\n") if part.strip()]
                continue
            for where, fields in json_lines(file):
                if set(fields) == {"text"}:
                    texts.append(_only_text(where, fields, "text"))
                elif {"prompt", "answer"} == set(fields):
                    prompt, answer = (_only_text(where, fields, name) for name in ("prompt", "answer"))
                    others.append(Item(prompt=prompt, answer=answer, group=prompt, place=where))
                else:
                    raise UsageError(f"{where}: must have text alone, or prompt and answer; it has {', '.join(fields)}")
        if not texts and not others:
            self._wrong("retain", "there is no text in it")
        return tuple(texts), tuple(others)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Maker:
    """Items from lines. own_choices: whether every line lists its choices."""

    prompt: Template
    answer: Template
    group: Template | None
    paraphrases: tuple[Template, ...]
    choices: tuple[str, ...]
    own_choices: bool

    def item(self, line: Line) -> Item:
        where, given = line
        listed = given.get("choices")
        values = {name: _value(where, name, found) for name, found in given.items() if name != "choices"}
        try:
            prompt, answer = self.prompt.filled(values), self.answer.filled(values)
            group = prompt if self.group is None else self.group.filled(values)
            paraphrases = tuple(template.filled(values) for template in self.paraphrases)
            choices = self._choices(where, values, answer, listed)
        except UsageError as error:
            raise error if str(error).startswith(where) else UsageError(f"{where}: {error}") from None
        if not prompt or not answer:
            raise UsageError(f"{where}: its {'answer' if prompt else 'prompt'} is empty")
        return Item(
            prompt=prompt,
            answer=answer,
            group=group,
            choices=choices,
            paraphrases=paraphrases,
            fields=values,
            place=where,
        )

    def _choices(self, where: str, values: Mapping[str, str], answer: str, listed: object) -> tuple[str, ...]:
        if listed is not None and not self.own_choices:
            raise UsageError(f"{where}: it lists choices, and so does the capability file, or its metric has none")
        if not self.choices and not self.own_choices:
            return ()
        known = _texts(listed) if self.own_choices else self.choices
        if len(known) < 2 or len(set(known)) != len(known):
            raise UsageError(f"{where}: choices {listed!r} must be a list of at least two different texts")
        if len(self.answer.fields) != 1:
            raise UsageError(f"{where}: the template of answers must have exactly one field where choices are listed")
        (name,) = self.answer.fields
        texts = tuple(self.answer.filled({name: value}) for value in known)
        if answer not in texts:
            raise UsageError(
                f"{where}: the answer {values[name]!r} is not one of the choices {', '.join(map(repr, known))}"
            )
        return texts


def json_lines(file: Path) -> list[Line]:
    """The objects of a JSON-lines file, each with its place. Raises UsageError for a line that is none, or a file without any."""
    found = list[Line]()
    for number, text in enumerate(_text(file).split("\n"), 1):
        if not text.strip():
            continue
        where = f"{file}:{number}"
        try:
            given = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{where}: not JSON: {error}") from None
        try:
            json.dumps(given, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{where}: it has half of a character (a lone surrogate); was a text cut in the middle?"
            ) from None
        if not isinstance(given, dict) or not given:
            raise UsageError(f'{where}: must be a JSON object with fields, as in {{"country": "France"}}')
        found.append((where, given))
    if not found:
        raise UsageError(f"{file}: there is nothing in it")
    return found


def _value(where: str, name: str, found: object) -> str:
    if isinstance(found, bool) or not isinstance(found, (str, int, float)):
        raise UsageError(f"{where}: field {name!r} is {json.dumps(found)}; must be text or a number")
    return str(found)


def _only_text(where: str, fields: Mapping[str, Any], name: str) -> str:
    found = fields[name]
    if not isinstance(found, str) or not found:
        raise UsageError(f"{where}: {name} is {json.dumps(found)}; must be text")
    return found


def _texts(listed: object) -> tuple[str, ...]:
    """The texts of a list, () for anything else."""
    if not isinstance(listed, list) or not all(isinstance(text, str) and text for text in listed):
        return ()
    return tuple(listed)
