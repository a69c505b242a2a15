"""What tests and their processes share: compiled and bundled models, what jax has compiled, and that a process has one thread."""

from __future__ import annotations

# A run within a test forgets what it imports, and with this module the server that new processes are forked from: starting
# another one takes seconds.
import multiprocessing.forkserver
import multiprocessing.popen_forkserver
import multiprocessing.resource_tracker  # noqa: F401
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

    from capbench.store.store import Store
    from capbench.zoo.trace import Trace

# Of every process that a test starts, too. Processes that share cores lose more to spinning threads than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

FOLDER = "TESTS_OF_CAPBENCH"  # names the folder that all processes of a session share
folder = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; runs with -m slow, or by its name")
    if FOLDER not in os.environ:  # else this is a worker of xdist
        config.stash[folder] = os.environ[FOLDER] = tempfile.mkdtemp(prefix="capbench-tests-")
    # What jax compiles, 25 ms for every operation and shape, is compiled once in a session.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.environ[FOLDER], "jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # One process may see a file that another has not finished. Then it compiles for itself.
    config.addinivalue_line("filterwarnings", "default:Error reading persistent compilation cache")

    # A cache of models made in milliseconds need survive no power cut: the disk, 3 ms and more a call, is not waited for.
    # That the store does, and when, is seen by tests that put a function of their own in its place.
    patched = pytest.MonkeyPatch()
    patched.setattr(os, "fsync", lambda descriptor: None)
    config.add_cleanup(patched.undo)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow tests, which take as long as all others, run where -m or a name asks for them."""
    if "slow" in config.option.markexpr or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder in config.stash:
        del os.environ[FOLDER]
        shutil.rmtree(config.stash[folder], ignore_errors=True)


@pytest.fixture(scope="session")
def compiled() -> Store:
    """The models of both tiny Tracr studies, seed 0, and COUNT_A and COUNT_B. Steps made from them can be added."""
    from tiny import built
    from tiny_tracr import COUNT_A, COUNT_B, counter, counter_steps, largest, max_steps

    from capbench.store.store import Store

    found = Store(os.path.join(os.environ[FOLDER], "compiled"))
    untuned = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    built(found, [COUNT_A, COUNT_B, *counter_steps(counter()).values(), *max_steps(largest()).values(), untuned])
    return found


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A cache in which the two models of tiny_zoo were trained."""
    from capbench.store.store import Store

    return Store(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="session")
def original(origin: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """These two as `capbench zoo build` bundles them. To look at only."""
    from tiny_zoo import bundled

    bundled(place := tmp_path_factory.mktemp("zoos") / "zoo", origin)
    return place


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the short trainings of these two."""
    from tiny_zoo import STEPS

    from capbench.pipeline.plan import Plan
    from capbench.store.store import Store
    from capbench.zoo.trace import short

    store = Store(tmp_path_factory.mktemp("traced"))
    assert Plan([short(step) for step in STEPS]).run(store, jobs=1) == {}
    return store


@pytest.fixture(scope="session")
def trace(traced: Store) -> Trace:
    """What they give."""
    from tiny_zoo import STEPS

    from capbench.zoo.trace import Trace

    return Trace.of(STEPS, traced)


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example's report. To look at only."""
    from report_example import example

    from capbench.report import write

    return write(example(), tmp_path_factory.mktemp("reports") / "made" / "on demand")


@pytest.fixture
def zoo(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in place of the package's."""
    from capbench.zoo import bundle

    place = shutil.copytree(original, tmp_path / "zoo")
    monkeypatch.setattr(bundle, "FOLDER", place)
    return place
