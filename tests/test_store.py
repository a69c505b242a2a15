"""The store keeps what it was given, notices damage, survives kill -9 and builds once: seen from outside."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.errors import CapbenchError, UsageError
from capbench.store import Artefact, DamagedArtefact, Store, default_root, key_of

KEY = key_of({"test": 1})
TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}
CONTENT: dict[str, Any] = {"kind": "test", "config": {"test": 1}, "tensors": TENSORS, "meta": {"loss": [0.5, 0.25]}}
FILES = ("tensors.safetensors", "meta.json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def saved(store: Store, key: str = KEY) -> Path:
    """The directory of a freshly saved artefact."""
    store.save(key, **CONTENT)
    return store.root / "artefacts" / key[:2] / key


def same_tensors(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name]
        .contiguous()
        .flatten()
        .view(torch.uint8)
        .equal(right[name].contiguous().flatten().view(torch.uint8))
        for name in left
    )


# ---- keys

leaves = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 1e300, True, False, None, "", "1", "true", "é", "\ud800", 10**30])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=2)
    ),
    max_leaves=4,
)
configs = st.dictionaries(st.sampled_from(["a", "b", ""]), values, max_size=2)


def equal(left: Any, right: Any) -> bool:
    """Equality of configs, written independently of JSON: 1, 1.0 and True differ, tuples are lists."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right


def respelled(value: Any) -> Any:
    """An equal config in other words: dictionary keys in another order, tuples for lists and lists for tuples."""
    if isinstance(value, dict):
        return {name: respelled(value[name]) for name in reversed(value)}
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, list) else list)(map(respelled, value))
    return value


@given(configs, configs)
def test_keys_are_equal_if_and_only_if_configs_are(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert (key_of(left) == key_of(right)) == equal(left, right)


@given(configs)
def test_a_key_does_not_depend_on_how_a_config_is_written(config: dict[str, Any]) -> None:
    assert key_of(config) == key_of(respelled(config))
    assert re.fullmatch("[0-9a-f]{32}", key_of(config))


def test_zero_has_one_key_whatever_its_sign() -> None:
    assert key_of({"x": 0.0}) == key_of({"x": -0.0})


def test_the_key_of_a_known_config_stays_what_it_was() -> None:
    # printf '%s' '{"lr":0.1,"sizes":[1,2]}' | sha256sum: a change here would orphan every cache
    assert key_of({"sizes": (1, 2), "lr": 0.1}) == "12031f8e707ab5b66e4e92e5ae415a45"


@pytest.mark.parametrize("one, other", [(1, 1.0), (1, True), (0, False), (0.0, False), ("1", 1), (None, "null")])
def test_numbers_booleans_and_strings_do_not_collide(one: Any, other: Any) -> None:
    assert key_of({"x": one}) != key_of({"x": other})


@pytest.mark.parametrize(
    "config, error, message",
    [
        ({"a": {"path": Path("/x")}}, TypeError, r"config\['a'\]\['path'\] is PosixPath\('/x'\)"),
        ({"a": [0, {1, 2}]}, TypeError, r"config\['a'\]\[1\] is \{1, 2\}"),
        ({"a": {1: 2}}, TypeError, r"config\['a'\] is \{1: 2\}.*str keys"),
        ({"a": b"x"}, TypeError, r"config\['a'\] is b'x'"),
        ({"a": float("nan")}, ValueError, r"config\['a'\] is nan"),
        ({"a": [float("-inf")]}, ValueError, r"config\['a'\]\[0\] is -inf"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_place_and_value(config: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        key_of(config)


# ---- round trips

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Any dtype and shape (also 0-d and empty), sometimes transposed; bits at random, so also NaN and -0.0."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = torch.Size(shape).numel() * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (size,), generator=generator, dtype=torch.uint8)
    tensor = raw.view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype)
    return tensor.T if len(shape) == 2 and draw(st.booleans()) else tensor


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(max_size=5), tensors(), max_size=4), configs)
def test_a_saved_artefact_loads_as_it_was(content: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        store.save(KEY, kind="test", config={}, tensors=content, meta=meta)
        loaded = store.load(KEY)
        assert loaded is not None
        assert loaded.key == KEY
        assert same_tensors(loaded.tensors, content)
        assert equal(loaded.meta, meta)
        assert equal(store.meta(KEY), meta)


def test_shared_strided_and_trainable_tensors_are_saved_by_value(store: Store) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    content = {
        "base": base,
        "again": base,
        "row": base[1],
        "column": base[:, 1],
        "expanded": base[:1].expand(5, 4),
        "parameter": torch.nn.Parameter(base),
        "conjugate": torch.tensor([1 + 2j], dtype=torch.complex64).conj(),
    }
    store.save(KEY, kind="test", config={}, tensors=content, meta={})
    loaded = store.load(KEY)
    assert loaded is not None
    assert all(torch.equal(loaded.tensors[name], content[name]) for name in content)
    loaded.tensors["base"].zero_()  # loaded tensors are the caller's: writable, and not the file
    again = store.load(KEY)
    assert again is not None and torch.equal(again.tensors["base"], base)


def test_meta_json_says_what_the_artefact_is(store: Store) -> None:
    document = json.loads((saved(store) / "meta.json").read_text())
    assert document["format"] == 1
    assert document["key"] == KEY
    assert (document["kind"], document["config"], document["meta"]) == ("test", {"test": 1}, {"loss": [0.5, 0.25]})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["created"])
    assert {"tensors_sha256", "meta_sha256"} < document.keys()


def test_an_absent_artefact_is_none(store: Store) -> None:
    assert not store.has(KEY)
    assert store.load(KEY) is None
    assert store.meta(KEY) is None


def test_the_first_save_is_kept(store: Store) -> None:
    saved(store)
    store.save(KEY, kind="test", config={}, tensors={}, meta={"second": True})
    assert store.meta(KEY) == CONTENT["meta"]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"meta": {"loss": [0.5, float("nan")]}}, ValueError, r"meta\['loss'\]\[1\] is nan"),
        ({"meta": {"x": torch.tensor(1)}}, TypeError, r"meta\['x'\] is tensor\(1\)"),
        ({"tensors": {"x": 1.5}}, TypeError, r"tensors\['x'\] is a float"),
        ({"tensors": {"x": torch.eye(2).to_sparse()}}, TypeError, r"tensors\['x'\]"),
    ],
)
def test_what_cannot_be_stored_is_named_and_nothing_is_saved(
    store: Store, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        store.save(KEY, **{**CONTENT, **change})
    assert_nothing_saved(store)


@pytest.mark.parametrize("key", ["", "a", "../../etc", "a/b", "ABC", "a.b", "x" * 65])
def test_a_key_that_is_no_safe_file_name_is_refused(store: Store, key: str) -> None:
    for use in (store.has, store.load, store.meta, lambda k: store.lock(k).__enter__(), lambda k: saved(store, k)):
        with pytest.raises(ValueError, match="artefact key"):
            use(key)


# ---- get_or_build


def built(store: Store, counts: list[int], key: str = KEY) -> Artefact:
    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        counts.append(1)
        return TENSORS, CONTENT["meta"]

    return store.get_or_build(key, build, kind="test", config=CONTENT["config"])


def test_get_or_build_builds_once_and_returns_what_is_on_disk(store: Store) -> None:
    counts: list[int] = []
    first, second = built(store, counts), built(Store(store.root), counts)
    assert len(counts) == 1
    assert same_tensors(first.tensors, TENSORS) and same_tensors(second.tensors, TENSORS)
    assert first.meta == second.meta == CONTENT["meta"]


def test_a_failed_build_passes_its_error_on_and_can_be_repeated(store: Store) -> None:
    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        raise ZeroDivisionError("diverged")

    with pytest.raises(ZeroDivisionError, match="diverged"):
        store.get_or_build(KEY, build, kind="test", config={})
    assert_nothing_saved(store)
    assert built(store, []).meta == CONTENT["meta"]


def test_an_impossible_config_is_refused_before_the_build(store: Store) -> None:
    with pytest.raises(ValueError, match=r"config\['lr'\] is nan"):
        store.get_or_build(KEY, lambda: pytest.fail("built"), kind="test", config={"lr": float("nan")})


def test_threads_that_want_the_same_artefact_build_it_once(store: Store) -> None:
    counts: list[int] = []
    results: list[Artefact] = []

    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        counts.append(1)
        time.sleep(0.2)
        return TENSORS, {}

    def want() -> None:
        results.append(store.get_or_build(KEY, build, kind="test", config={}))

    in_threads(want, want, want)
    assert len(counts) == 1
    assert len(results) == 3


# ---- locks


def in_threads(*actions: Callable[[], object]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "deadlock"


def test_a_lock_keeps_other_threads_out_and_lets_its_own_thread_in_again(store: Store) -> None:
    seen: list[bool] = []

    def look() -> None:
        with store.try_lock(KEY) as held, Store(store.root).try_lock(KEY) as held_by_other_store:
            seen.extend([held, held_by_other_store])

    with store.lock(KEY), Store(store.root).lock(KEY):
        in_threads(look)
        look()
        with store.try_lock(KEY.replace(KEY[0], "z")) as other_key:
            assert other_key
    in_threads(look)
    assert seen == [False, False, True, True, True, True]


def test_a_save_waits_for_whoever_holds_the_lock(store: Store) -> None:
    saver = threading.Thread(target=saved, args=[store])
    with store.lock(KEY):
        saver.start()
        saver.join(0.3)
        assert saver.is_alive() and not store.has(KEY)
    saver.join(20)
    assert store.has(KEY)


def test_a_lock_is_released_when_its_block_raises(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lock(KEY):
        raise ZeroDivisionError
    in_threads(lambda: store.lock(KEY).__enter__())


# ---- damage


@contextmanager
def damage_reported(what: str) -> Iterator[None]:
    with pytest.warns(DamagedArtefact, match=what) as caught:
        yield
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def reformat(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))


def say_list(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize(
    "name, damage",
    [
        *((name, damage) for name in FILES for damage in (truncate, empty, Path.unlink)),
        *(("meta.json", damage) for damage in (reformat, say_list)),
    ],
)
def test_a_damaged_artefact_is_reported_moved_away_and_built_again(
    store: Store, name: str, damage: Callable[[Path], None]
) -> None:
    place = saved(store)
    damage(place / name)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with damage_reported(rf"artefact {KEY} is damaged \(.*{re.escape(name)}.*\): moved to '.*/damaged/"):
        assert store.load(KEY) is None
    (moved,) = (store.root / "damaged").iterdir()
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before
    assert not place.exists()
    counts: list[int] = []
    assert same_tensors(built(store, counts).tensors, TENSORS)
    assert counts == [1]


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(FILES), st.integers(0), st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(name: str, position: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        place = saved(store)
        data = bytearray((place / name).read_bytes())
        data[position % len(data)] ^= 1 << bit
        (place / name).write_bytes(data)
        if name == "meta.json":
            with damage_reported("meta.json"):
                assert store.meta(KEY) is None
        else:
            assert store.meta(KEY) == CONTENT["meta"]
            with damage_reported(f"SHA-256 of {name}"):
                assert store.load(KEY) is None
        assert not store.has(KEY)


def test_metadata_without_its_tensors_is_damage_too(store: Store) -> None:
    (saved(store) / "tensors.safetensors").unlink()
    with damage_reported(r"tensors\.safetensors is missing"):
        assert store.meta(KEY) is None


def test_an_artefact_under_another_key_is_damage(store: Store) -> None:
    place = saved(store)
    other = place.parent / (KEY[:2] + "0" * 30)
    place.rename(other)
    with damage_reported("not what was written for this key"):
        assert store.load(other.name) is None


def test_damage_is_left_alone_while_another_holds_the_lock(store: Store) -> None:
    place = saved(store)
    truncate(place / "tensors.safetensors")
    done, held = threading.Event(), threading.Event()

    def hold() -> None:
        with store.lock(KEY):
            held.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    with damage_reported("left at"):
        assert store.load(KEY) is None
    done.set()
    holder.join()
    assert place.exists()
    with damage_reported("moved to"):
        assert store.load(KEY) is None


def test_a_save_replaces_an_incomplete_artefact(store: Store) -> None:
    (saved(store) / "meta.json").unlink()
    saved(store)
    assert store.meta(KEY) == CONTENT["meta"]


# ---- processes


def worker(*arguments: object) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("store_worker.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])}
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def assert_nothing_saved(store: Store) -> None:
    assert not store.has(KEY)
    assert list((store.root / "artefacts").glob("*/*")) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_kill_9_at_any_moment_of_a_save_leaves_all_or_nothing(store: Store) -> None:
    with worker("die", store.root, "killed") as process:
        ends = dict(line.split() for line in process.communicate(timeout=60)[0].splitlines())
    *deaths, last = (int(end) for end in ends.values())
    assert last == 0  # the last child was not killed: all moments have been tried
    assert set(deaths) == {-signal.SIGKILL, -signal.SIGXFSZ} and len(deaths) > 12, deaths
    left = {path.name.split(".")[0] for path in (store.root / "tmp").iterdir()}
    present = {key for n in ends if store.has(key := f"killed-{n}")}
    assert len(left) > 5 and len(present) > 1 and not left & present  # deaths on both sides of the rename
    for n in ends:
        key = f"killed-{n}"
        counts: list[int] = []
        loaded = store.load(key)  # whole or absent: damage would warn, and warnings are errors
        assert (loaded is not None) == (key in present)
        assert loaded is None or torch.equal(loaded.tensors["x"], torch.arange(1000))
        built(store, counts, key)  # the dead process's lock is not in the way
        assert len(counts) == (key not in present)
    assert list((store.root / "tmp").iterdir()) == []


def test_two_processes_build_the_same_artefact_once(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "builds"
    with worker("build", store.root, KEY, log) as one, worker("build", store.root, KEY, log) as other:
        pair = (one, other)
        for process in pair:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in pair:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [process.communicate(timeout=60)[0] for process in pair]
    builds = log.read_text().split()
    assert len(builds) == 1
    assert results == [f"{builds[0]} [0, 1, 2, 3]\n"] * 2


def test_the_lock_of_a_killed_process_is_released(store: Store) -> None:
    with worker("hold", store.root, KEY) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with store.try_lock(KEY) as while_alive:
            assert not while_alive
        process.kill()
        process.wait()
        with store.try_lock(KEY) as when_dead:
            assert when_dead


def test_reading_metadata_does_not_import_torch(store: Store) -> None:
    saved(store)
    code = f"""if True:
        import sys
        from capbench.store import Store, default_root, key_of
        print(Store({str(store.root)!r}).meta({KEY!r}), "torch" in sys.modules, "safetensors" in sys.modules)"""
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout == f"{CONTENT['meta']} False False\n"


def test_old_temporary_directories_are_swept_and_those_in_use_are_not(store: Store) -> None:
    old, recent = (store.root / "tmp" / name for name in ("old-key.1", "recent-key.1"))
    for path in (old, recent):
        path.mkdir()
        (path / "meta.json").write_text("{")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    saved(store)
    assert [path.name for path in (store.root / "tmp").iterdir()] == [recent.name]


# ---- file system trouble


def refused(root: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        Store(root)
    message = str(caught.value)
    assert repr(str(root)) in message and "\n" not in message
    return message


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "it is a file" in refused(tmp_path / "file")
    assert "Not a directory" in refused(tmp_path / "file" / "below")


def test_a_root_that_cannot_be_created_is_refused() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc, where nobody can create a directory, not even root")
    refused("/proc/capbench")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; /proc stands in for it above")
def test_an_unwritable_root_is_refused(tmp_path: Path) -> None:
    Store(tmp_path)
    for folder in ("artefacts", "locks", "tmp"):
        (tmp_path / folder).chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert "permission" in refused(tmp_path)
        (tmp_path / "tmp").chmod(0)
        assert "Permission denied" in refused(tmp_path / "tmp" / "below")
    finally:
        for folder in ("artefacts", "locks", "tmp"):
            (tmp_path / folder).chmod(stat.S_IRWXU)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert "No space left on device" in save_fails(store)
    assert_nothing_saved(store)
    assert built(store, []).meta == CONTENT["meta"]


def test_a_write_that_fails_half_way_leaves_nothing(store: Store) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # real partial writes: the kernel stops at 100 bytes
    try:
        message = save_fails(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in message
    assert_nothing_saved(store)
    assert built(store, []).meta == CONTENT["meta"]


def save_fails(store: Store) -> str:
    with pytest.raises(CapbenchError) as caught:
        saved(store)
    message = str(caught.value)
    assert str(store.root / "artefacts" / KEY[:2] / KEY) in message and "\n" not in message
    return message


def test_files_and_directory_are_on_disk_before_the_rename(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, rename = os.fsync, os.rename
    synced: list[int] = []
    synced_before: list[int] = []

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def watched_rename(source: Path, target: Path) -> None:
        rename(source, target)
        synced_before.extend(synced)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    place = saved(store)
    assert {path.stat().st_ino for path in (place, *place.iterdir())} == set(synced_before)
    assert {path.stat().st_ino for path in place.parents[:2]} == set(synced) - set(synced_before)


def test_an_interrupt_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            saved(store)
    assert_nothing_saved(store)


def test_the_default_root_is_the_option_then_the_environment_then_the_user_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPBENCH_CACHE", str(tmp_path / "environment"))
    assert default_root(str(tmp_path / "option")) == tmp_path / "option"
    assert default_root() == tmp_path / "environment"
    monkeypatch.delenv("CAPBENCH_CACHE")
    assert default_root().name == "capbench"
