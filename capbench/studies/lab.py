"""The workplace of a run: models by step, readings by model, each made once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from capbench.pipeline.executors.base import as_in_a_new_process
from capbench.pipeline.steps import Step, describe
from capbench.results import Measurement, measurement_from_dict, to_dict
from capbench.store.code import name_digest, reading_code, remember_sources
from capbench.store.keys import key_of
from capbench.store.places import source_of
from capbench.store.store import Store
from capbench.studies.base import Study

if TYPE_CHECKING:
    from capbench.models.base import Model


ROOM = 2 * 2**30  # bytes of models that a lab holds on to


@dataclass(frozen=True, kw_only=True)
class Built:
    """A step's result: its model, and the metadata recorded while it was made. device: where the model is put."""

    step: Step
    store: Store = field(repr=False)
    device: str = "cpu"

    @cached_property
    def model(self) -> Model:
        """The model, in evaluation mode. Readings must not change it."""
        from capbench.pipeline.build import load_model

        return load_model(self.step, self.store).to(self.device)

    @property
    def bytes(self) -> int:
        """What its model takes, 0 while it is not loaded."""
        if (loaded := self.__dict__.get("model")) is None:
            return 0
        return sum(tensor.nbytes for tensor in (*loaded.parameters(), *loaded.buffers()))

    def forget(self) -> None:
        """Let go of the model; it is loaded again when it is asked for."""
        self.__dict__.pop("model", None)

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """Steps taken, whether it diverged, curves …"""
        found = self.store.meta(self.step.key)
        if found is None:
            raise LookupError(f"'{self.step.label}' has not been built")
        return found

    def curve(self, name: str) -> list[tuple[int, float]]:
        """A recorded curve as (training step, accuracy 0..1) pairs."""
        return [(int(step), value) for step, value in self.meta["curves"][name]]


S_co = TypeVar("S_co", bound=Study, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[S_co]):
    """What a reading is given besides models: the study that they belong to, the seed, and parts that are read once.

    A reading says by its type what it needs of the study, as in `Bench[PcfgStudy]`.

    lab: where the readings that a reading is made of are kept; without one they are carried out each time.
    """

    study: S_co
    seed: int
    lab: Lab | None = field(default=None, repr=False, compare=False)

    def read(self, reading: Reading, models: Mapping[str, Built], **arguments: str | None) -> tuple[Measurement, ...]:
        """The result of another reading, kept on its own: what is the same for many cases is read once.

        arguments: plain values that the reading takes besides models.
        """
        if self.lab is None:
            return tuple(reading(self, **models, **arguments))
        return self.lab.read(reading, self, {name: built.step for name, built in models.items()}, arguments)


# A reading takes the bench and one Built per step name; it must depend on nothing else, since its result is kept.
Reading = Callable[..., Iterable[Measurement]]
R = TypeVar("R", bound=Reading)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A reading that another is made of, and that is kept on its own.

    of: which of the other's models it is given, by name; (): it is a reading of one, `model`, and is read of each of them. What
    such a part gives of a base model is the same for every method. arguments: those of each time, given the study.
    """

    reading: Reading
    arguments: Callable[[Any], Sequence[Mapping[str, str | None]]] = lambda study: ({},)
    of: tuple[str, ...] = ()


ANCHOR = (
    "anchor_"  # role of a model of another seed, as in anchor_3: it is read on that seed's own sample, whoever asks
)


def read_on(role: str, seed: int) -> int:
    """The seed whose sample a model of this role is read on: an anchor's own, so that it is read once for all seeds."""
    return int(role.removeprefix(ANCHOR)) if role.startswith(ANCHOR) else seed


_PARTS: dict[Reading, Part] = {}


def made_of(
    part: Reading,
    arguments: Callable[[Any], Sequence[Mapping[str, str | None]]] | None = None,
    *,
    of: tuple[str, ...] = (),
) -> Callable[[R], R]:
    """Declares a reading that is made of what this part gives of each of its models, or of some together (see `Part`).

    Parts of several models are taken to be long: several processes carry them out side by side.
    """

    def declared(reading: R) -> R:
        found = Part(reading=part, of=of)
        _PARTS[reading] = found if arguments is None else replace(found, arguments=arguments)
        return reading

    return declared


def part_of(reading: Reading) -> Part | None:
    """What a reading is made of, if it was declared."""
    return _PARTS.get(reading)


class Lab:
    """Models and readings of one run, from the store.

    bundled: gives, by key, what is kept of a reading that comes with the package; None for others. It is put into the store.
    """

    def __init__(self, store: Store, *, bundled: Callable[[str], Mapping[str, Any] | None] = lambda key: None) -> None:
        self.store, self._bundled = store, bundled
        self._built: dict[tuple[str, str], Built] = {}  # the one that was asked for last at the end
        self._in_use: list[Built] = []
        remember_sources()

    def built(self, step: Step, device: str = "cpu") -> Built:
        """The step's result. Its model is loaded once per process, unless all that were loaded take more than ROOM."""
        which = step.key, device
        found = self._built.pop(which, None) or Built(step=step, store=self.store, device=device)
        self._built[which] = found
        return found

    def read(
        self,
        reading: Reading,
        bench: Bench[Study],
        steps: Mapping[str, Step],
        arguments: Mapping[str, str | None] | None = None,
    ) -> tuple[Measurement, ...]:
        """Carry out a reading, or take its result from the store: it is kept under everything that it depends on."""
        config = config_of(reading, bench, steps, arguments or {})
        key = key_of(config)

        def carry_out() -> tuple[dict[str, Any], Mapping[str, Any]]:
            if (there := self._bundled(key)) is not None:
                return {}, there
            # Where the study's models are trained, they are read too: at paper scale a reading takes minutes on a CPU.
            models = {name: self.built(step, bench.study.device) for name, step in steps.items()}
            self._in_use += models.values()
            try:
                with as_in_a_new_process():
                    measured = tuple(reading(replace(bench, lab=self), **models, **(arguments or {})))
            finally:
                del self._in_use[len(self._in_use) - len(models) :]
                self._make_room()
            return {}, {"measurements": to_dict(measured)}

        kept = self.store.get_or_build(key, carry_out, kind="Reading", config=config)
        return tuple(measurement_from_dict(m) for m in kept.meta["measurements"])

    def keeps(
        self,
        reading: Reading,
        bench: Bench[Study],
        steps: Mapping[str, Step],
        arguments: Mapping[str, str | None] | None = None,
    ) -> bool:
        """Whether the result of a reading is there."""
        key = key_of(config_of(reading, bench, steps, arguments or {}))
        return self.store.has(key) or self._bundled(key) is not None

    def _make_room(self) -> None:
        """Forget the models that were asked for longest ago, but for those that are being read."""
        taken = {which: built.bytes for which, built in self._built.items() if built.bytes}
        total = sum(taken.values())
        for which, size in taken.items():
            if total <= ROOM:
                return
            if not any(self._built[which] is built for built in self._in_use):
                self._built[which].forget()
                total -= size


def config_of(
    reading: Reading, bench: Bench[Study], steps: Mapping[str, Step], arguments: Mapping[str, str | None]
) -> dict[str, Any]:
    """Everything that the result of a reading depends on. Its hash is the key under which that is kept."""
    return {
        "reading": name_digest(f"{reading.__module__}:{reading.__qualname__}"),
        "code": reading_code(frozenset({*_files(reading), *_source(bench.study)})),
        "study": _description(bench.study),
        "seed": bench.seed,
        "steps": {name: step.key for name, step in steps.items()},
        "arguments": dict(arguments),
    }


def _description(study: Study) -> Any:
    """A study as JSON values, without what is in the models' keys (method, device, attacks), and without its tools."""
    found = describe(study) if is_dataclass(study) else {"preset": describe(study.preset)}
    return {name: value for name, value in found.items() if name not in ("method", "device", "toolbox", "attacks")}


def _files(reading: Reading) -> set[Path]:
    """The file of a reading; of a decorated one those of its decorators too."""
    found: set[Path] = set()
    function: Reading | None = reading
    while function is not None:
        if (code := getattr(function, "__code__", None)) is not None:
            found.add(Path(code.co_filename))
        function = getattr(function, "__wrapped__", None)
    return found


def _source(study: Study) -> list[Path]:
    file = source_of(type(study).__module__)
    return [] if file is None else [file]
