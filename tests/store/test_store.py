"""The store keeps what it was given and builds once: keys, round trips, locks."""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from store_content import CONTENT, KEY, TENSORS, assert_nothing_saved, built, same_tensors, saved

from capbench.store.keys import key_of
from capbench.store.store import Artefact, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


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
