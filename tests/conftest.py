"""What all tests and their processes share: compiled models, what jax has compiled, and that a process has one thread."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from capbench.store import Store

# Of every process that a test starts, too. Processes that share cores lose more to spinning threads than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FOLDER = "TESTS_OF_CAPBENCH"  # names the folder that all processes of a session share
folder = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if FOLDER not in os.environ:  # else this is a worker of xdist
        config.stash[folder] = os.environ[FOLDER] = tempfile.mkdtemp(prefix="capbench-tests-")
    # What jax compiles, 25 ms for every operation and shape, is compiled once in a session.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.environ[FOLDER], "jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # One process may see a file that another has not finished. Then it compiles for itself.
    config.addinivalue_line("filterwarnings", "default:Error reading persistent compilation cache")


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder in config.stash:
        del os.environ[FOLDER]
        shutil.rmtree(config.stash[folder], ignore_errors=True)


@pytest.fixture(scope="session")
def compiled() -> Store:
    """The models of both tiny Tracr studies, seed 0, and COUNT_A and COUNT_B. Steps made from them can be added."""
    import fast_tracr
    from tiny import built
    from tiny_tracr import COUNT_A, COUNT_B, counter, counter_steps, largest, max_steps

    from capbench.store import Store

    fast_tracr.install()
    found = Store(os.path.join(os.environ[FOLDER], "compiled"))
    untuned = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    built(found, [COUNT_A, COUNT_B, *counter_steps(counter()).values(), *max_steps(largest()).values(), untuned])
    return found
