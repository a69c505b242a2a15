"""The types of options: from the option as typed and its text to what is meant, or a UsageError that quotes both.

What a type needs is imported when it is used: the table is read at every start of pytest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from capbench.configs import PRECISIONS, Precision
from capbench.errors import UsageError

if TYPE_CHECKING:
    from capbench.checkpoints.manifest import Manifest
    from capbench.expectations.files import Expectations
    from capbench.methods.specs.arguments import Arguments
    from capbench.studies.base import Attacks

T = TypeVar("T", bound=str)


def one_of(option: str, what: str, known: Iterable[T], given: str) -> T:
    """The one of these names that was given. Raises UsageError for another."""
    known = tuple(known)
    for name in known:
        if given == name:
            return name
    raise UsageError(f"{option}={given}: unknown {what}; known: {', '.join(known)}")


def flag(option: str, given: object) -> bool:
    """Whether it was given."""
    return bool(given)


def names(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(given))


def architectures(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """Names of architectures, or module:Class, each once."""
    from capbench.models.named import path_of

    for name in given:
        try:
            path_of(name)
        except UsageError as error:
            raise UsageError(f"{option}={name}: {error}") from None
    return names(option, given)


PRETRAINED = "hf:"


def pretrained(option: str, given: str) -> str:
    """The path of a language model on this machine that has a tokenizer, after `hf:`. Its weights are not read."""
    from capbench.models.huggingface.source import find

    path = given.removeprefix(PRETRAINED)
    if path == given or not path:
        raise UsageError(f"{option}={given}: must be hf:PATH, as in hf:models/SmolLM2-135M")
    try:
        found = find(path)
    except UsageError as error:
        raise UsageError(f"{option}={given}: {str(error).removeprefix(f'{path}: ')}") from None
    if not (found.is_gguf or found.has_vocabulary):
        raise UsageError(f"{option}={given}: the folder has no tokenizer, such as tokenizer.json")
    return path


def capabilities(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """Capabilities in natural language, each once: generated ones by name, others by their file."""
    from capbench.tasks.language.named import capability

    for spec in given:
        try:
            capability(spec)
        except UsageError as error:
            words = str(error).removeprefix(f"capability {spec!r}: ").removeprefix(f"{spec}: ")
            raise UsageError(f"{option}={spec}: {words}") from None
    return names(option, given)


def own_stories(option: str, given: str) -> str:
    """A folder of stories in the format of TinyStories-Instruct, as a whole path. Only the beginning of its files is read."""
    from capbench.tasks.stories.corpus.files import find

    try:
        find(Path(given))
    except UsageError as error:
        raise UsageError(f"{option}={given}: {str(error).removeprefix(f'{Path(given)}: ')}") from None
    return str(Path(given).expanduser().resolve())


def finished(option: str, given: str) -> str:
    """The path of a language model after a change, after `hf:`, or of an adapter. Its weights are not read."""
    from capbench.models.huggingface.source import ADAPTER, find

    path = given.removeprefix(PRETRAINED)
    try:
        if not (Path(path).expanduser() / ADAPTER).is_file():
            find(path)
    except UsageError as error:
        raise UsageError(f"{option}={given}: {str(error).removeprefix(f'{path}: ')}") from None
    return path


def one_capability(option: str, given: str) -> str:
    """A capability in natural language: a generated one by name, or a file."""
    return capabilities(option, (given,))[0]


def attack_names(option: str, given: str) -> tuple[str, ...]:
    """Names of attacks on a language model, separated by commas, each once."""
    from capbench.measure.attacks.named import known

    asked = [name.strip() for name in given.split(",") if name.strip()]
    if not asked:
        raise UsageError(f"{option}={given}: must be names of attacks, separated by commas, as in few-shot,reft")
    try:
        return known(asked)
    except UsageError as error:
        raise UsageError(f"{option}={given}: {error}") from None


def count(option: str, given: str) -> int:
    """A whole number of at least 1."""
    if not (given.isascii() and given.isdecimal()) or int(given) < 1:
        raise UsageError(f"{option}={given}: must be a whole number of at least 1")
    return int(given)


def plan_format(option: str, given: str) -> str:
    """How a simulation is told."""
    return one_of(option, "format", ("text", "json"), given)


AUTO = "auto"


def count_or_auto(option: str, given: str) -> int | str:
    """A whole number of at least 1; or `AUTO`: as many as it takes."""
    try:
        return given if given == AUTO else count(option, given)
    except UsageError as error:
        raise UsageError(f"{error}, or {AUTO}") from None


def seeds(option: str, given: str) -> tuple[int, ...]:
    """Whole numbers, each once."""
    parts = given.split(",")
    if not all(p.isascii() and p.isdecimal() for p in parts):
        raise UsageError(f"{option}={given}: must be whole numbers separated by commas, as in 100,101")
    return tuple(dict.fromkeys(map(int, parts)))


def minutes(option: str, given: str) -> float:
    """A time in seconds, given in minutes."""
    with suppress(ValueError):
        if 0 < (number := float(given)) < math.inf:
            return 60 * number
    raise UsageError(f"{option}={given}: must be a number of minutes above 0, as in 10 or 0.5")


def age(option: str, given: str) -> float:
    """A time in seconds, given in days or hours."""
    number, unit = given[:-1], given[-1:]
    with suppress(ValueError):
        if unit in _UNITS and 0 <= (found := float(number)) < math.inf:
            return found * _UNITS[unit]
    raise UsageError(f"{option}={given}: must be a number of days or hours, as in 30d or 12h")


_UNITS = {"d": 24 * 3600.0, "h": 3600.0}


def scale(option: str, given: str) -> str:
    """The name of a scale."""
    from capbench.studies.scales import SCALES

    return one_of(option, "scale", SCALES, given)


def device(option: str, given: str) -> str:
    """The name of a device; `on_this_machine` says whether there is one."""
    return one_of(option, "device", ("cpu", "cuda"), given)


def on_this_machine(option: str, device: str) -> None:
    """Raises UsageError unless this machine has the device."""
    if device == "cuda" and not has_cuda():
        raise UsageError(f"{option}=cuda: this machine, or this build of torch, has no CUDA; use cpu")


def has_cuda() -> bool:
    """Whether torch can use a GPU here."""
    import torch

    return torch.cuda.is_available()


def precision(option: str, given: str) -> Precision:
    """What GPTs are trained in."""
    return one_of(option, "precision", PRECISIONS, given)


def attacks(option: str, given: str) -> Attacks:
    """What is tried to bring a capability back."""
    from capbench.studies.base import ATTACKS

    return one_of(option, "attacks", ATTACKS, given)


def method_arguments(option: str, given: Sequence[str]) -> Arguments:
    """Arguments for methods, sorted by name."""
    from capbench.methods.specs import arguments

    return arguments.parse(option, given)


def paths(option: str, given: Sequence[str]) -> tuple[Path, ...]:
    """Files and folders that are there, each once."""
    for each in given:
        if not Path(each).exists():
            raise UsageError(f"{option}={each}: there is no such file in {Path.cwd()}")
    return tuple(dict.fromkeys(Path(each).resolve() for each in given))


def checkpoints(option: str, given: str) -> tuple[str, Manifest]:
    """The folder of weights that were trained elsewhere, and its manifest."""

    from capbench.checkpoints.manifest import read

    try:
        return given, read(Path(given))
    except UsageError as error:
        raise UsageError(f"{option}={given}: {error}") from None


def expectations(option: str, given: str) -> Expectations:
    """What is expected of a run, by a name or from a file."""
    from capbench.expectations.files import read

    try:
        return read(given)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


def loggers(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """What a run's curves and verdicts are told to, each once."""
    from capbench.session.loggers.find import check

    for each in given:
        check(option, each)
    return names(option, given)


def regressions(option: str, given: Sequence[str]) -> Any:
    """What counts as a regression: a capbench.compare.gate.Gate."""
    from capbench.compare.gate import Gate

    return Gate.parse(option, given)


def streams(option: str, given: str) -> str:
    """Which data an export holds."""
    from capbench.checkpoints.export import CHOICES

    return one_of(option, "choice", CHOICES, given)


def executor(option: str, given: str) -> str:
    """Where models are made."""
    found = one_of(option, "executor", ("local", "ray"), given)
    if found == "ray":
        from capbench.pipeline.executors.on_ray.cluster import check_installed

        check_installed(option)
    return found


def address(option: str, given: str) -> str:
    """The address of a Ray cluster."""
    from capbench.pipeline.executors.on_ray.cluster import check_address

    check_address(option, given)
    return given


def gpu_share(option: str, given: str) -> float:
    """The share of a GPU for each training on a Ray cluster."""
    from capbench.pipeline.executors.on_ray.cluster import gpu_share

    return gpu_share(option, given)
