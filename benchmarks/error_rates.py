"""How often claims are decided wrongly: `python benchmarks/error_rates.py RUN … [--draws=N] [--output=FILE]`.

Effects are simulated and given to `at_least` and `at_most` themselves. Half of the conditions of the runs, whole models at a
time, fit the priors; the variances of the simulated effects are drawn from the other half. A draw has its mean at the threshold
(false support, coverage) or two standard deviations on the claim's side of it (power), on the scale on which seeds are compared.
Values are normal, log-normal (sigma .5) or two-peaked (70/30, with a fifth of the standard deviation within each peak), the
skewed ones either way round. `auto` looks at 3, 5, 8 and 12 seeds while the claim is undecided.

Variances: `observed` are those of the conditions over their few seeds, which are wider apart than the true ones are; `fitted` are
drawn from the prior that these conditions would give. The default runs are those that the package's priors were fitted to.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from capbench.results import Status, Verdict
from capbench.verdicts.claims import at_least, at_most
from capbench.verdicts.effects import Effect
from capbench.verdicts.fitting import Condition, conditions, fit
from capbench.verdicts.links import LINKS, Link
from capbench.verdicts.looks import SEEDS, look
from capbench.verdicts.priors import MIDDLE, Prior

ROOT = Path(__file__).parents[1]
RUNS = [ROOT / "reports" / "reference" / name for name in ("small-full", "small-core", "calibration")]
THRESHOLDS = {"accuracy": (0.2, 0.9), "difference": (0.2, 0.3), "retention": (0.3, 0.7), "ratio": (2.0,)}
AUTO = "auto"
NUMBERS = ("1", "3", "5", "8", AUTO)
SPLITS = 4


def normal(rng: random.Random) -> float:
    return rng.gauss(0, 1)


def log_normal(rng: random.Random) -> float:
    return _either_way(rng, (rng.lognormvariate(0, 0.5) - 1.13315) / 0.60390)


def two_peaked(rng: random.Random) -> float:
    peak = 1.52753 if rng.random() < 0.3 else -0.65465
    return _either_way(rng, 0.98 * peak + 0.2 * rng.gauss(0, 1))


def _either_way(rng: random.Random, value: float) -> float:
    return value if rng.random() < 0.5 else -value


SHAPES: dict[str, Callable[[random.Random], float]] = {
    "normal": normal,
    "log-normal": log_normal,
    "two-peaked": two_peaked,
}


@dataclass(frozen=True)
class Left:
    """A kind of quantity in one split: the prior of one half, and the standard deviations of the other."""

    kind: str
    priors: dict[str, Prior]
    observed: tuple[float, ...]
    prior_of_left: Prior | None

    def deviation(self, rng: random.Random, variances: str) -> float:
        """One standard deviation of the left-out half, on the scale of the kind."""
        if variances == "observed" or self.prior_of_left is None:
            return rng.choice(self.observed)
        prior = self.prior_of_left
        return (prior.variance * prior.df / (2 * rng.gammavariate(prior.df / 2, 1))) ** 0.5


def split(found: Sequence[Condition], rng: random.Random) -> list[Left]:
    """Each kind with its conditions in two halves, those of one model on the same side."""
    models = sorted({c.name.rpartition(" ")[0] for c in found})
    rng.shuffle(models)
    inside = set(models[: len(models) // 2])
    fitted = {(p.kind, p.stratum): p for p in fit([c for c in found if c.name.rpartition(" ")[0] in inside])}
    left = [c for c in found if c.name.rpartition(" ")[0] not in inside]
    of_left = {(p.kind, p.stratum): p for p in fit(left)}
    halves = []
    for kind in THRESHOLDS:
        link = LINKS[kind]
        own = tuple(_spread(c, link) for c in left if c.kind == kind and not link.at_end(list(c.values)))
        priors = {stratum: prior for (name, stratum), prior in fitted.items() if name == kind}
        if own and MIDDLE in priors:
            halves.append(Left(kind, priors, own, of_left.get((kind, MIDDLE))))
    return halves


def _spread(condition: Condition, link: Link) -> float:
    places = [link.forward(value) for value in condition.values]
    mean = sum(places) / len(places)
    return max((sum((p - mean) ** 2 for p in places) / (len(places) - 1)) ** 0.5, 1e-4)


@dataclass
class Count:
    """Of how many draws with the mean at the threshold the claim was supported, and its interval held the mean."""

    draws: int = 0
    supported: int = 0
    held: int = 0
    found: int = 0  # supported, where the mean was two standard deviations on the claim's side

    def add(self, at: Verdict, mean: float, beyond: Verdict) -> None:
        self.draws += 1
        self.supported += at.status is Status.SUPPORTED
        self.held += at.ci is not None and at.ci[0] - 1e-9 <= mean <= at.ci[1] + 1e-9
        self.found += beyond.status is Status.SUPPORTED


def simulate(halves: Sequence[Left], *, draws: int, variances: str, seed: int) -> dict[tuple[str, str, str], Count]:
    """(kind, shape, seeds) -> what became of so many draws each."""
    rng = random.Random(seed)
    counts: dict[tuple[str, str, str], Count] = {}
    for half in halves:
        link = LINKS[half.kind]
        for shape, draw in SHAPES.items():
            for number in NUMBERS:
                count = counts.setdefault((half.kind, shape, number), Count())
                for _ in range(draws):
                    threshold, upwards = rng.choice(THRESHOLDS[half.kind]), rng.random() < 0.5
                    deviation = half.deviation(rng, variances)
                    decide = at_least if upwards else at_most
                    verdicts = []
                    for shift in (0.0, 2.0 if upwards else -2.0):
                        place = link.forward(threshold) + shift * deviation
                        values = [link.back(place + deviation * draw(rng)) for _ in range(SEEDS[-1])]
                        verdicts.append(_decided(values, number, half, decide, threshold))
                    count.add(verdicts[0], threshold, verdicts[1])
    return counts


def _decided(
    values: Sequence[float], number: str, half: Left, decide: Callable[..., Verdict], threshold: float
) -> Verdict:
    if number != AUTO:
        return decide(Effect(values[: int(number)], kind=half.kind, priors=half.priors), threshold, "")
    for i in range(len(SEEDS)):
        now = look(i)
        found = decide(Effect(values[: SEEDS[i]], kind=half.kind, priors=half.priors, alpha=now.alpha), threshold, "")
        if found.status is not Status.INCONCLUSIVE:
            break
    return found


def report(found: Sequence[Condition], *, draws: int, seed: int = 0) -> str:
    """The tables, as Markdown."""
    rng = random.Random(seed)
    splits = [split(found, rng) for _ in range(SPLITS)]
    parts = ["# Error rates of claims", f"`{' '.join(['python benchmarks/error_rates.py', *sys.argv[1:]])}`"]
    parts.append(f"{len(found)} conditions, {SPLITS} splits, {draws} draws per split and cell. {_priors(splits)}")
    for variances in ("fitted", "observed"):
        halves = [half for each in splits for half in each]
        counts = simulate(halves, draws=draws, variances=variances, seed=seed)
        rows = [
            [
                kind,
                shape,
                number,
                *(f"{100 * n / count.draws:.1f}" for n in (count.supported, count.held, count.found)),
            ]
            for (kind, shape, number), count in {**_pooled(counts), **counts}.items()
        ]
        head = ["kind", "effects", "seeds", "false support, %", "coverage, %", "power at two sd, %"]
        parts += [f"## Variances {variances}", tabulate(rows, headers=head, tablefmt="github", disable_numparse=True)]
    return "\n\n".join(parts) + "\n"


def _pooled(counts: dict[tuple[str, str, str], Count]) -> dict[tuple[str, str, str], Count]:
    found: dict[tuple[str, str, str], Count] = {}
    for (_, shape, number), count in counts.items():
        total = found.setdefault(("all", shape, number), Count())
        for name, value in vars(count).items():
            setattr(total, name, getattr(total, name) + value)
    return found


def _priors(splits: Sequence[Sequence[Left]]) -> str:
    by_kind: dict[str, list[float]] = {}
    for half in (half for each in splits for half in each):
        by_kind.setdefault(half.kind, []).append(half.priors[MIDDLE].df)
    words = "; ".join(f"{kind} {', '.join(f'{df:.1f}' for df in dfs)}" for kind, dfs in by_kind.items())
    return f"Degrees of freedom of the halves' priors: {words}."


def main() -> None:
    from capbench.report import load

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="*", type=Path, default=RUNS, metavar="RUN")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    text = report(conditions(load(run) for run in given.runs), draws=given.draws)
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
