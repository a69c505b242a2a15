"""From the table to a parser's options, and from what a user gave to checked values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from capbench.errors import UsageError
from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option
from capbench.session.options.table import GROUPS, options_of


def declare(add: Callable[..., Any], taker: str) -> None:
    """Add the options of a command, or of pytest, with the `add_argument` or `addoption` of its parser."""
    for option in options_of(taker):
        if option.foreign and taker == PYTEST:
            continue
        words = (option.help + option.ends).replace("%", "%%")
        if not option.value:
            add(option.typed(taker), action="store_true", default=None, help=words)
        else:
            more: dict[str, Any] = {"action": "append"} if option.repeatable else {}
            more |= {"required": True} if option.required else {}
            add(option.typed(taker), metavar=option.value, help=words, **more)


@dataclass(frozen=True)
class Given:
    """What a user gave to a command, or to pytest: text by option; nothing for those that were not given.

    beneath: what holds for options that the command takes and that were not given to it, as those of a project's pytest.ini.
    """

    taker: str
    texts: Mapping[str, Any] = field(default_factory=dict)
    beneath: Given | None = None

    @classmethod
    def read(cls, taker: str, namespace: object) -> Given:
        """From the namespace of a parser whose options `declare` added."""
        found = {o.name: getattr(namespace, o.attribute(taker), None) for o in options_of(taker)}
        return cls(taker, {name: text for name, text in found.items() if text not in (None, [], False)})

    def text(self, name: str) -> Any:
        """As it was given, None if it was not. Repeatable options give a list, flags True."""
        if name in self.texts or self.beneath is None:
            return self.texts.get(name)
        return self.beneath.text(name)

    def typed(self, name: str) -> str:
        """The option as its user types it: to this command, or to pytest if it was given there."""
        if name not in self.texts and self.beneath is not None and self.beneath.text(name) is not None:
            return self.beneath.typed(name)
        return next(o for o in options_of(self.taker) if o.name == name).typed(self.taker)

    def shown(self, name: str) -> str:
        """The option with its value, as in --scale=huge."""
        text = self.text(name)
        text = text[0] if isinstance(text, list) else text
        return self.typed(name) if text is True or text is None else f"{self.typed(name)}={text}"

    def checked(self) -> dict[str, Any]:
        """The value of every option that the command takes, by name; None without one.

        Raises UsageError, one line, for the first that cannot be, alone or with others.
        """
        options = options_of(self.taker)
        for option in options:
            if self.text(option.name) is not None:
                self._check_combination(option, {o.name for o in options})
        found = {option.name: self._value(option) for option in options}
        # Only the nodes need what they train on, and nothing is trained on machines that are supposed.
        elsewhere = (found.get("executor") == "ray" and self.taker != PYTEST) or found.get("simulate")
        if "device" in found and not elsewhere:
            values.on_this_machine(self.typed("device"), found["device"])
        return found

    def _value(self, option: Option) -> Any:
        text = self.text(option.name)
        if text is None and option.repeatable:
            text = [] if option.default is None else [option.default]
        elif text is None:
            text = option.default
        if text is None and option.value:
            return None
        return option.type(self.typed(option.name), text)

    def _check_combination(self, option: Option, taken: set[str]) -> None:
        for other, why in option.excludes.items():
            if other.partition("=")[0] in taken and self._holds(other):
                name = other.partition("=")[0]
                raise UsageError(
                    f"{self.shown(option.name)} cannot be combined with {self.shown(name)}: {why}; omit one of them"
                )
        name, _, value = option.needs.partition("=")
        if name in taken and not self._holds(option.needs):
            flag = not next(o for o in options_of(self.taker) if o.name == name).value
            needed = self.typed(name) if flag else f"{self.typed(name)}={value or 'VALUE'}"
            instead = f", not {self.shown(name)}" if self.text(name) is not None else ""
            raise UsageError(f"{self.shown(option.name)} needs {needed}{instead}")

    def _holds(self, condition: str) -> bool:
        name, _, value = condition.partition("=")
        text = self.text(name)
        return text is not None and (not value or text == value)


def unknown_words(command: str, words: list[str]) -> str:
    """What to say of words that a command does not take: an option of others is named as such."""
    for word in words:
        name = word.partition("=")[0].lstrip("-").removeprefix("capbench-")
        takers = [t for rows in GROUPS.values() for o in rows if o.name == name for t in o.takers]
        if not word.startswith("-") or not takers:
            continue
        if command in takers:
            return f"{word}: `capbench {command}` takes pytest's options without the prefix; give --{name}"
        others = " and ".join("pytest" if taker == PYTEST else f"`capbench {taker}`" for taker in takers)
        return f"{word}: an option of {others}, not of `capbench {command}`; omit it"
    return f"unrecognized arguments: {' '.join(words)} (see capbench {command} --help)"
