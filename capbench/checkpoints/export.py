"""Writes the folder for training elsewhere: base weights, data and the manifest. Imports torch only when it writes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench import __version__
from capbench.checkpoints import identity, language
from capbench.checkpoints.guide import guide
from capbench.checkpoints.manifest import BASE, DATA, NAME, STREAMS, TUNED, Entry, File, Manifest, TensorInfo
from capbench.configs import ModelConfig, TrainConfig
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.finetuning import FineTuningTask

if TYPE_CHECKING:
    import torch

    from capbench.models.base import Model
from capbench.models.gpt import Gpt

_TOKEN = 24  # bytes of JSON, about, that a token of a language takes
CHOICES = {"none": (), "target": STREAMS[:1], "full": STREAMS}  # which streams are written


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A fine-tuning to do elsewhere, and the claim that needs it, in words."""

    step: FineTune
    serves: str


def check_folder(folder: Path) -> None:
    """Raises UsageError unless an export could be written there: nothing is overwritten, least of all tuned weights."""
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"'{folder}': the directory is not empty; give a new one")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"'{folder}': that is a file; give a new directory")
    above = next(place for place in folder.absolute().parents if os.path.lexists(place))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"'{folder}': '{above}' is not writable; give another directory")


def export(
    folder: Path,
    wanted: Iterable[Wanted],
    store: Store,
    *,
    scale: str,
    seeds: tuple[int, ...],
    streams: str,
    progress: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Write the folder, whole or not at all. The base models must be in the store.

    streams: a name in CHOICES. progress is called with the number of strings drawn since its last call (in all: `volume`).
    Raises CapbenchError, one line, if it cannot be written.
    """
    with _explained(folder), _draft(folder) as draft:
        writer = _Writer(draft, store, CHOICES[streams], progress)
        entries: dict[str, Entry] = {}
        for want in wanted:
            entry = writer.entry(want)
            known = entries.get(entry.id, entry)
            serves = (*known.serves, *entry.serves) if known is not entry else entry.serves
            entries[entry.id] = dataclasses.replace(known, serves=tuple(dict.fromkeys(serves)))
        manifest = Manifest(
            capbench=__version__,
            torch=metadata.version("torch"),
            scale=scale,
            seeds=seeds,
            streams=streams,
            files=writer.files,
            entries=tuple(entries.values()),
        )
        (draft / TUNED).mkdir()
        in_folders = any(entry.in_folder for entry in manifest.entries)
        (draft / "README.txt").write_text(guide(scale, language=in_folders), encoding="utf-8")
        (draft / NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def volume(wanted: Iterable[Wanted], streams: str) -> tuple[int, int]:
    """The number of strings that an export draws, and of bytes that they take."""
    sizes: dict[str, tuple[int, int]] = {}
    for want in wanted:
        for stream, train in _streams(want.step.task, want.step.train, CHOICES[streams]).values():
            n = train.steps * train.batch_size
            size = 2 * n * stream.seq_len * _width(stream)
            if language.is_text(stream):  # written once, as text and as tokens
                n, size = len(stream), len(stream) * stream.seq_len * _TOKEN
            sizes[identity.stream_id(stream, train)] = n, size
    return sum(n for n, _ in sizes.values()), sum(size for _, size in sizes.values())


def _width(stream: Task) -> int:
    """Bytes of the smallest signed integer that holds every token of the vocabulary and -1: 1, 2, 4 or 8."""
    return next(n for n in (1, 2, 4, 8) if stream.vocab_size <= 2 ** (8 * n - 1))


def _streams(task: FineTuningTask, train: TrainConfig, names: tuple[str, ...]) -> dict[str, tuple[Task, TrainConfig]]:
    """The streams of a task by name, each with the training whose batches are drawn.

    The target's are those that training here would see. The others have seeds of their own, so that their texts differ.
    """
    every = {"target": task.target, "retain": task.retain, "forget": task.forget, "others": task.others}
    return {
        name: (stream, dataclasses.replace(train, seed=train.seed + STREAMS.index(name)))
        for name, stream in every.items()
        if name in names and stream is not None
    }


class _Writer:
    """Writes files below a folder, each once, and remembers them."""

    def __init__(self, root: Path, store: Store, names: tuple[str, ...], progress: Callable[[int], object]) -> None:
        self.files: dict[str, File] = {}
        self._root, self._store, self._names, self._progress = root, store, names, progress
        self._bases: dict[str, tuple[str, str, dict[str, Any]]] = {}  # by the step's key
        self._tokenizers: dict[str, Any] = {}  # likewise

    def entry(self, want: Wanted) -> Entry:
        """Write what a fine-tuning needs and is not written yet."""
        step = want.step
        base, tensors, architecture = self._base(step)
        recipe = identity.recipe(step.task, step.train)
        task = step.task
        return Entry(
            id=identity.entry_id(recipe, tensors),
            serves=(want.serves,),
            base=base,
            base_tensors=tensors,
            recipe=recipe,
            data={
                name: self._stream(stream, train, step)
                for name, (stream, train) in _streams(task, step.train, self._names).items()
            },
            train={**dataclasses.asdict(step.train), "betas": list(step.train.betas)},
            stream={
                **{"name": task.name, "vocab_size": task.vocab_size, "seq_len": task.seq_len},
                **{"answer_pos": task.answer_pos, "answer_weight": task.answer_weight, "ignore": IGNORE},
            },
            architecture=architecture,
        )

    def _base(self, step: FineTune) -> tuple[str, str, dict[str, Any]]:
        from capbench.pipeline.build import load_model

        if step.base.key not in self._bases:
            model = load_model(step.base, self._store)
            tensors = model.state_dict()
            hashed = identity.tensors_hash(tensors)
            path = f"{BASE}/{hashed[:16]}.safetensors"
            if language.is_language(model):
                path = f"{BASE}/{hashed[:16]}/model.safetensors"
            if path not in self.files:
                if language.is_language(model):
                    self._write_folder(path, model, step)
                else:
                    self._write(path, tensors)
            self._bases[step.base.key] = path, hashed, _architecture(model)
        return self._bases[step.base.key]

    def _stream(self, stream: Task, train: TrainConfig, step: FineTune) -> str:
        text = language.is_text(stream)
        path = f"{DATA}/{identity.stream_id(stream, train)}.{'jsonl' if text else 'safetensors'}"
        if path not in self.files:
            if text:
                self._write_lines(path, stream, step)
            else:
                self._write(path, _drawn(stream, train, self._progress))
        return path

    def _write_folder(self, path: str, model: Any, step: FineTune) -> None:
        """A language model as transformers saves it: every file of its folder is told."""
        from capbench.checkpoints import weights

        folder = (self._root / path).parent
        folder.mkdir(parents=True)
        language.write_base(model, step.base, folder)
        for file in sorted(folder.iterdir()):
            name = file.relative_to(self._root).as_posix()
            self.files[name] = _told(file.read_bytes(), weights.info(model.state_dict()) if name == path else {})

    def _tokenizer(self, step: FineTune) -> Any:
        """Read once for all streams of a model."""
        if step.base.key not in self._tokenizers:
            self._tokenizers[step.base.key] = language.tokenizer_of(step.base)
        return self._tokenizers[step.base.key]

    def _write_lines(self, path: str, stream: Any, step: FineTune) -> None:
        file = self._root / path
        file.parent.mkdir(exist_ok=True)
        content = "".join(f"{line}\n" for line in language.lines(stream, self._tokenizer(step))).encode()
        file.write_bytes(content)
        self.files[path] = _told(content, {})
        self._progress(len(stream))

    def _write(self, path: str, tensors: Mapping[str, torch.Tensor]) -> None:
        import safetensors.torch

        from capbench.checkpoints import weights

        file = self._root / path
        file.parent.mkdir(exist_ok=True)
        separate = {name: t.detach().cpu().clone() for name, t in tensors.items()}  # two names may share one storage
        content = safetensors.torch.save(separate)
        file.write_bytes(content)  # not save_file: only the owner can read what that writes
        self.files[path] = _told(content, weights.info(tensors))


def _told(content: bytes, tensors: Mapping[str, TensorInfo]) -> File:
    return File(sha256=hashlib.sha256(content).hexdigest(), size=len(content), tensors=tensors)


def _drawn(stream: Task, train: TrainConfig, progress: Callable[[int], object]) -> dict[str, torch.Tensor]:
    """The tokens and targets of a whole training, [strings, pos] each, in order and in the smallest signed type that fits."""
    import torch

    from capbench.training.loop import batches

    types = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    dtype = types[_width(stream)]
    tokens = torch.empty((train.steps * train.batch_size, stream.seq_len), dtype=dtype)
    targets = torch.empty_like(tokens)
    for step, batch in zip(range(train.steps), batches(stream, train), strict=False):
        rows = slice(step * train.batch_size, (step + 1) * train.batch_size)
        if (
            int(batch.targets.max()) > torch.iinfo(dtype).max
        ):  # a program may have more answers than its input has tokens
            dtype = next(t for t in types.values() if int(batch.targets.max()) <= torch.iinfo(t).max)
            tokens, targets = tokens.to(dtype), targets.to(dtype)
        tokens[rows], targets[rows] = batch.tokens.to(dtype), batch.targets.to(dtype)
        progress(train.batch_size)
    return {"tokens": tokens, "targets": targets}


def _architecture(model: Model) -> dict[str, Any]:
    """What is needed to rebuild the model: its kind and its sizes."""
    config: Any = model.config
    if language.is_language(model):
        return {"kind": "transformers", "family": config.family, **_sizes(config)}
    if isinstance(config, ModelConfig):
        kind = "gpt" if type(model) is Gpt else f"{type(model).__module__}:{type(model).__name__}"
        return {"kind": kind, **dataclasses.asdict(config)}
    return {"kind": "tracr", **config.to_json()}


def _sizes(config: Any) -> dict[str, int]:
    return {name: getattr(config, name) for name in ("n_blocks", "d_model", "vocab_size", "seq_len")}


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one, renamed to it at the end: an interrupted export leaves no folder that looks complete."""
    folder = folder.absolute()
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.is_dir():
            folder.rmdir()  # an empty one
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CapbenchError(
            f"'{folder}' cannot be written ({error.strerror or error}); give another directory"
        ) from None
