"""Whether a compiled model does what its program says, on a sample of strings. Tracr does not say what it compiles inexactly.

Program and model run on the same strings; the program by Tracr's interpreter, with every expression evaluated once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from tracr.rasp import rasp

    from capbench.models.tracr.config import Value
    from capbench.models.tracr.transformer import TracrTransformer

_LENGTHS = 4
_STRINGS = 10  # of each length, at most
_COMPARISONS = 1500  # of each length, about: a Select compares every pair of positions


class RaspWarning(UserWarning):
    """A compiled model answers something else than its program says."""


class Difference(NamedTuple):
    string: Sequence[Value]
    position: int
    says: Value
    answers: Value

    def __str__(self) -> str:
        says, answers = (f"{x:.5g}" if isinstance(x, float) else repr(x) for x in (self.says, self.answers))
        return f"for the string {list(self.string)!r} the program says {says} at position {self.position}, the model {answers}"


def difference(model: TracrTransformer, program: rasp.SOp) -> str | None:
    """What differs between a program and its compiled model, in one sentence with the shortest string found; None if nothing.

    Not compared: strings on which the program fails, and positions where its value is None or that are not `asked` for. A program
    annotated with a function asked=..., from a string to positions, is meant for these only.
    """
    from tracr.rasp import causal_eval, rasp

    found: list[Difference] = []
    tried = 0
    run = _interpreter(rasp.DefaultRASPEvaluator)
    asked = program.annotations.get("asked", lambda string: range(len(string)))
    token_ids = {token: i for i, token in enumerate(model.config.vocabulary)}
    bos = token_ids[model.config.bos]
    for strings in _samples(model):
        of_strings = _answers(model, [[bos, *(token_ids[token] for token in string)] for string in strings])
        for string, answers in zip(strings, of_strings, strict=True):
            says = run(program, string)
            if says is None:
                continue
            tried += 1
            if (position := _first_difference(says, answers, asked(string))) is not None:
                found.append(Difference(string, position, _plain(says[position]), answers[position]))
    if not found:
        return None
    first = found[0]
    why = ""
    if model.config.causal:
        masked = _interpreter(causal_eval.CausalEvaluator)(program, first.string)
        if masked is not None and _same(masked[first.position], first.answers):
            why = ": with causal=True no position sees a later one"
    return f"{first}{why} (they differ on {len(found)} of {tried} strings tried)"


def _samples(model: TracrTransformer) -> Iterator[list[tuple[Value, ...]]]:
    """Strings of one length each, the shortest first: all, or some of one token and some random. The same at every call."""
    config, rng = model.config, np.random.default_rng(0)
    tokens = [token for token in config.vocabulary if token not in (config.bos, config.pad)]
    longest = config.max_seq_len - 1
    for length in sorted({round(x) for x in np.linspace(1, longest, _LENGTHS)}):
        n = min(_STRINGS, max(2, _COMPARISONS // length**2))
        if length * math.log(len(tokens)) <= math.log(n):
            yield [*itertools.product(tokens, repeat=length)]
            continue
        constant = rng.permutation(len(tokens))[: n // 2]
        drawn = rng.integers(len(tokens), size=(n - len(constant), length))
        yield [
            *((tokens[i],) * length for i in constant),
            *(tuple(tokens[i] for i in row) for row in drawn),
        ]


def _answers(model: TracrTransformer, ids: list[list[int]]) -> list[list[Value]]:
    """The model's answers after BOS. Where the program has no value, they are any class."""
    with torch.no_grad():
        logits = model(torch.tensor(ids))[:, 1:]
    if (outputs := model.config.outputs) is None:
        return cast("list[list[Value]]", logits[..., 0].tolist())
    best, classes = logits.max(-1)
    best_of, classes_of = best.tolist(), classes.tolist()
    return [
        [top if math.isnan(top) else outputs[i] for top, i in zip(tops, row, strict=True)]
        for tops, row in zip(best_of, classes_of, strict=True)
    ]


def _interpreter(evaluator: type[Any]) -> Callable[[rasp.SOp, Sequence[Value]], Sequence[Any] | None]:
    """One of Tracr's evaluators; it gives None for a string on which the program fails."""

    class Once(evaluator):  # type: ignore[misc]
        """Otherwise an expression that is used twice would be evaluated twice, and its parts four times."""

        def evaluate(self, expr: rasp.RASPExpr, xs: Sequence[Value]) -> Any:
            if id(expr) not in done:
                done[id(expr)] = super().evaluate(expr, xs)
            return done[id(expr)]

    done: dict[int, Any] = {}
    once = Once()

    def run(program: rasp.SOp, string: Sequence[Value]) -> Sequence[Any] | None:
        done.clear()
        try:
            values: Sequence[Any] = once.evaluate(program, list(string))
        except Exception:  # a program's own functions may raise anything
            return None
        return values

    return run


def _first_difference(says: Sequence[Any], answers: Sequence[Any], asked: Iterable[int]) -> int | None:
    different = (i for i in asked if i < len(says) and says[i] is not None and not _same(says[i], answers[i]))
    return next(different, None)


def _same(says: Any, answers: Any) -> bool:
    """Whether a value is the model's answer; a number within what Tracr's own tests allow."""
    if isinstance(answers, float) and isinstance(says, Real):
        return abs(answers - float(says)) <= 1e-3 + 0.005 * abs(float(says))
    return bool(says == answers)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
