"""RASP programs to compile: all of Tracr's own library, and some that single out one feature."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracr.compiler import lib, test_cases
from tracr.rasp import rasp

TOKENS, INDICES = rasp.tokens, rasp.indices
TRUE, EQ, LT = rasp.Comparison.TRUE, rasp.Comparison.EQ, rasp.Comparison.LT
ABC = frozenset("abc")


class Case(NamedTuple):
    program: Any
    vocab: frozenset[Any]
    max_seq_len: int
    causal: bool = False


def _equals(sop: Any, value: Any, name: str) -> Any:
    return rasp.numerical(sop == value).named(name)


def library() -> dict[str, Case]:
    """Every function of tracr.compiler.lib; those that work on strings of the past only, causal too."""
    brackets, numbers = frozenset("(){}"), frozenset({1, 2, 3})
    cases = {
        "length": Case(lib.make_length(), ABC, 4),
        "length_numerical": Case(rasp.numerical(lib.make_length()), ABC, 4),
        "reverse": Case(lib.make_reverse(TOKENS), ABC, 4),
        "pair_balance": Case(lib.make_pair_balance(TOKENS, "(", ")"), brackets, 5),
        "shuffle_dyck2": Case(lib.make_shuffle_dyck2(), brackets, 4),
        "hist": Case(lib.make_hist(), ABC, 5),
        "sort_unique": Case(lib.make_sort_unique(TOKENS, 1 - INDICES), ABC, 4),
        "sort": Case(lib.make_sort(TOKENS, TOKENS, max_seq_len=4, min_key=1), numbers, 4),
        "sort_freq": Case(lib.make_sort_freq(4), numbers, 4),
        "frac_prevs": Case(lib.make_frac_prevs(TOKENS == "a"), ABC, 5),
        "shift_by": Case(lib.shift_by(2, TOKENS), ABC, 5),
        "detect_pattern": Case(lib.detect_pattern(TOKENS, "abc"), ABC, 5),
        "count_less_freq": Case(lib.make_count_less_freq(2), ABC, 5),
        "count": Case(lib.make_count(TOKENS, "a"), ABC, 5),
        "nary_sequencemap": Case(
            lib.make_nary_sequencemap(lambda x, y, z: x + y - z, TOKENS, TOKENS, INDICES), numbers, 3
        ),
    }
    for name in ("frac_prevs", "shift_by", "detect_pattern"):
        cases[f"{name}_causal"] = cases[name]._replace(causal=True)
    return cases


def special() -> dict[str, Case]:
    """Programs that single out one thing."""
    shifted = [lib.shift_by(i, TOKENS) for i in (1, 2, 3)]
    joined = rasp.SequenceMap(lambda x, y: f"{x}{y}", shifted[0], shifted[1])
    is_a, is_b = _equals(TOKENS, "a", "is_a"), _equals(TOKENS, "b", "is_b")
    everywhere = rasp.Select(TOKENS, TOKENS, TRUE)
    share = rasp.numerical(rasp.Aggregate(everywhere, is_a, default=0)).named("share")
    cases = {
        "mlp_only": Case(rasp.Map(lambda x: x + x, TOKENS), ABC, 3),
        "mlp_only_numerical": Case(
            rasp.LinearSequenceMap(is_a, is_b, 2, -3).annotated(encoding=is_a.annotations["encoding"]), ABC, 3
        ),
        "attention_only": Case(lib.shift_by(1, TOKENS), ABC, 4),
        "several_heads": Case(rasp.SequenceMap(lambda x, y: f"{x}{y}", joined, shifted[2]), frozenset("ab"), 4),
        "numbers_to_numbers": Case(rasp.numerical(rasp.Map(lambda x: 3 * x - 1, share)), ABC, 4),
        "numbers_to_classes": Case(rasp.Map(lambda x: x > 0.4, share), ABC, 4),
        "one_class": Case(rasp.Map(lambda x: "same", TOKENS), ABC, 3),
        "outputs_none_and_bool": Case(rasp.Map(lambda x: {"a": None, "b": True}.get(x, "c"), TOKENS), ABC, 3),
        "outputs_mixed": Case(rasp.Map(lambda x: {"a": (1, "x"), "b": 0.5}.get(x, "y"), TOKENS), ABC, 3),
        "selector_width_causal": Case(rasp.SelectorWidth(everywhere), ABC, 4, causal=True),
        "tokens_of_many_types": Case(
            rasp.SequenceMap(lambda x, i: (x, i), TOKENS, INDICES), frozenset({1, "x", 2.5, (3, 4)}), 3
        ),
    }
    return cases


def tracrs_own() -> dict[str, Case]:
    """The cases of Tracr's integration test, one for every program, vocabulary and length."""
    return {
        f"{case['testcase_name']}{'_causal' * causal}": Case(
            case["program"], frozenset(case["vocab"]), case["max_seq_len"], causal
        )
        for causal, cases in ((False, test_cases.TEST_CASES), (True, test_cases.CAUSAL_TEST_CASES))
        for case in cases
    }
