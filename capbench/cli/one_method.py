"""What commands share that make the models of one method: which method it is, and how a report shows the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capbench.errors import MethodError, UsageError
from capbench.session.options.given import Given

if TYPE_CHECKING:
    from capbench.methods.specs.registry import MethodRef

EXIT_CODES = (
    "exit code: 0 done, also if only the time of --budget-minutes is up; 1 something could not be made; "
    "2 a mistake on the command line"
)


def method_of(given: Given, options: Mapping[str, Any]) -> MethodRef:
    """The method that was asked for. Raises UsageError, one line, for one that cannot be used."""
    from capbench.session.options.checked import find_method

    try:
        return find_method(given, options["method"], arguments=options["method-arg"], depends=options["method-depends"])
    except MethodError as error:
        raise UsageError(f"--method={options['method']}: {error}") from None


def method_words(given: Given, options: Mapping[str, Any], method: MethodRef) -> list[str]:
    """The end of the command line: what models depend on besides their scale and seeds, without this machine's directories."""
    words = ["--method", method.label]
    for name in ("method-arg", "method-depends"):
        words += [word for text in given.text(name) or () for word in (f"--{name}", text)]
    words += [] if options["precision"] == "float32" else ["--precision", options["precision"]]
    return [*words, "--device", options["device"]]
