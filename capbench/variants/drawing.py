"""Hypothesis as a source of variants: the same ones for the same seed, and the simplest for which something holds."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.strategies import SearchStrategy

from capbench.errors import UsageError
from capbench.methods.specs.user_code import one_line
from capbench.studies.seeds import subseed
from capbench.variants.codec import AnyVariant

_FEW = (
    4  # draws of one run: the simplest, then a random one. In longer runs Hypothesis starts small and repeats itself.
)


class Drawn(NamedTuple):
    """A variant and the seed with which Hypothesis drew it."""

    variant: AnyVariant
    seed: int


def draw(strategy: SearchStrategy[AnyVariant], n: int, *, seed: int) -> tuple[Drawn, ...]:
    """n different variants, drawn independently of each other; the same for the same seed. Fewer if there are no more.

    Raises UsageError, one line, for a strategy that gives none.
    """
    found: dict[str, Drawn] = {}
    for i in range(20 * n):
        own = subseed(seed, f"variant {i}")
        try:
            first = _first(strategy, own)
        except Exception as error:  # whatever a user's strategy may raise
            raise UsageError(f"no variants can be drawn from {repr(strategy)[:80]}: {one_line(error)}") from None
        for variant in first[1:]:  # the first is the simplest, whatever the seed
            if not isinstance(variant, AnyVariant):
                found_type = type(variant).__name__
                raise UsageError(
                    f"{repr(strategy)[:80]} gives a {found_type}, not a capbench.studies.pcfg.variant.Variant "
                    "or a capbench.studies.deletion.conditions.Conditions"
                )
            found.setdefault(variant.id, Drawn(variant, own))
        if len(found) >= n:
            break
        if not first:
            raise UsageError(f"no variants can be drawn from {repr(strategy)[:80]}: nothing passes its filters")
    return tuple(found.values())[:n]


def simplest(
    strategy: SearchStrategy[AnyVariant],
    fails: Callable[[AnyVariant], bool],
    drawn: Drawn,
    *,
    examples: Path,
    name: str,
) -> AnyVariant | None:
    """The simplest variant that fails, as far as shrinking from a drawn one gets in five minutes.

    examples: folder of example databases, in which a failing variant is kept under the name; it is tried first (unless
    Hypothesis is given a seed on the command line, as usual).
    """
    database = DirectoryBasedExampleDatabase(examples / sha256(name.encode()).hexdigest()[:16])
    for phases in ((Phase.reuse, Phase.shrink), (Phase.generate, Phase.shrink)):
        found = _find(strategy, fails, drawn.seed, phases=phases, database=database)
        if found is not None:
            return found
    return None


def _first(strategy: SearchStrategy[AnyVariant], seed: int) -> list[AnyVariant]:
    """The first two that Hypothesis draws."""
    found: list[AnyVariant] = []

    def enough(variant: AnyVariant) -> bool:
        found.append(variant)
        return len(found) >= 2  # and on, as Hypothesis looks again

    _find(strategy, enough, seed, phases=(Phase.generate,))
    return found[:2]


def _find(
    strategy: SearchStrategy[AnyVariant],
    condition: Callable[[AnyVariant], bool],
    seed: int,
    *,
    phases: tuple[Phase, ...],
    database: DirectoryBasedExampleDatabase | None = None,
) -> AnyVariant | None:
    found: list[AnyVariant] = []
    chosen = settings(
        max_examples=_FEW,
        phases=phases,
        database=database,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),  # a training takes as long as it takes
    )
    # Hypothesis makes no draw like one before from its first choice on. With a number that nothing depends on as the first, all
    # that follows it is drawn afresh, and evenly.
    spread: SearchStrategy[AnyVariant] = st.tuples(st.integers(0, 2**64), strategy).map(itemgetter(1))

    @chosen  # outside the seed, which disables the database: so does `hypothesis.find` with a `random`
    @hypothesis.seed(seed)
    @given(spread)
    def search(variant: AnyVariant) -> None:
        if condition(variant):
            found[:] = [variant]
            raise _FoundError

    try:
        search()
    except _FoundError:
        return found[0]
    except SkipTest:  # nothing was kept to be tried
        pass
    return None


class _FoundError(Exception):
    """Hypothesis looks for what raises."""
