"""Models that several files of tests look at: compiling takes seconds, so it is done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from capbench.store import Store


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The models of both tiny Tracr studies, seed 0, and COUNT_A and COUNT_B. Steps made from them can be added."""
    from tiny import built
    from tiny_tracr import COUNT_A, COUNT_B, counter, counter_steps, largest, max_steps

    from capbench.store import Store

    found = Store(tmp_path_factory.mktemp("compiled"))
    untuned = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    built(found, [COUNT_A, COUNT_B, *counter_steps(counter()).values(), *max_steps(largest()).values(), untuned])
    return found
