"""What was measured of a model, by name and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from capbench.results import Measurement

Values = Mapping[str, Mapping[int, Measurement]]  # name -> seed -> what was measured


def by_name(measurements: Iterable[Measurement]) -> Values:
    """The numbers among measurements, those without a value too.

    What several claims measured counts once: a value before a bound, a bound before none, and of equals the last.
    """
    found: dict[str, dict[int, Measurement]] = {}
    for m in measurements:
        of_name = found.setdefault(m.name, {}) if m.is_number else {}
        if m.is_number and (m.seed not in of_name or _informed(m) >= _informed(of_name[m.seed])):
            of_name[m.seed] = m
    return found


def value_of(values: Values, name: str, seed: int) -> float | None:
    """The value on a seed; None if there is none, or only a bound."""
    m = values.get(name, {}).get(seed)
    return None if m is None or m.bound else m.value


def _informed(m: Measurement) -> int:
    return 0 if m.value is None else 1 if m.bound else 2
