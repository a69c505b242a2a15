"""What Tracr cannot compile is refused in one line that says why, and so is a missing installation."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from rasp_programs import ABC, EQ, INDICES, TOKENS
from tracr.compiler import lib, test_cases
from tracr.rasp import rasp

from capbench.errors import UsageError
from capbench.models.tracr import compile_rasp


@pytest.mark.parametrize("case", test_cases.UNSUPPORTED_TEST_CASES, ids=lambda case: case["testcase_name"])
def test_what_tracr_does_not_support_is_refused_in_one_line(case: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^program '{case['program'].name}': .+") as raised:
        compile_rasp(case["program"], case["vocab"], case["max_seq_len"])
    assert "\n" not in str(raised.value)


BOTH = rasp.Select(TOKENS, TOKENS, EQ) & rasp.Select(INDICES, TOKENS, EQ)


@pytest.mark.parametrize(
    "program, vocab, length, options, said",
    [
        (TOKENS, ABC, 3, {}, "'tokens': it returns its input unchanged"),
        (rasp.length, ABC, 3, {}, "'length': Tracr cannot compile it: ValueError: Unsupported S-Op: length"),
        (rasp.Full(1), ABC, 3, {}, "'full': Tracr cannot compile it: Expression Full cannot be translated"),
        (rasp.Map(lambda x: x + 1, INDICES), ABC, 3, {}, "'map': .*does not include rasp.tokens"),
        (
            rasp.Aggregate(BOTH, TOKENS),
            ABC,
            3,
            {},
            "'aggregate': .*TypeError: Compiling composite Selectors is not supp",
        ),
        (rasp.SelectorWidth(BOTH).named("w"), ABC, 3, {}, "'w': .*AttributeError: 'SelectorAnd' object has no attrib"),
        (rasp.Map(lambda x: {"a": 1}[x], TOKENS), ABC, 3, {}, "'map': Tracr cannot compile it: KeyError: '[bc]'"),
        (rasp.Map(lambda x: [x], TOKENS), ABC, 3, {}, "'map': .*TypeError: unhashable type: 'list'"),
        (rasp.Map(lambda x: float("inf"), TOKENS), ABC, 3, {}, "'map': inf cannot be a token or an output"),
        (rasp.Select(TOKENS, TOKENS, EQ), ABC, 3, {}, "must be a RASP sequence operation .*, got .* type Select"),
        (lambda x: x, ABC, 3, {}, "must be a RASP sequence operation .*, got .* type function"),
        (lib.make_hist(), (), 3, {}, "'hist': vocab is empty"),
        (
            lib.make_hist(),
            {10, "5", 9},
            3,
            {},
            "'hist': Tracr cannot sort the vocab .see .* and .*use tokens of one type",
        ),
        (lib.make_hist(), {1, "1"}, 3, {}, "'hist': Tracr cannot sort the vocab .see 1 and '1'.|.see '1' and 1."),
        (lib.make_hist(), ABC, 0, {}, "'hist': max_seq_len 0 must be .* 1 or more"),
        (lib.make_hist(), ABC, 2.5, {}, "'hist': max_seq_len 2.5 must be"),
        (lib.make_hist(), ABC, 3, {"compiler_bos": "a"}, "'hist': compiler_bos 'a' is in the vocab"),
        (lib.make_hist(), ABC, 3, {"compiler_pad": "c"}, "'hist': compiler_pad 'c' is in the vocab"),
        (lib.make_hist(), ABC, 3, {"compiler_bos": None}, "'hist': compiler_bos None must be a nonempty string"),
        (lib.make_hist(), None, 3, {}, "'hist': vocab None must be a set of tokens: .*not iterable"),
        (lib.make_hist(), 3, 3, {}, "'hist': vocab 3 must be a set of tokens"),
        (lib.make_hist(), [["a"]], 3, {}, "'hist': vocab .*must be a set of tokens: unhashable type: 'list'"),
        (lib.make_hist(), {None}, 3, {}, "'hist': None is in the vocab, .*no value; use another token"),
        (lib.make_hist(), {"a", None}, 3, {}, "'hist': None is in the vocab"),
        (lib.make_hist(), {1.0, float("nan")}, 3, {}, "'hist': .*nan"),
        (lib.make_hist(), ABC, 3, {"compiler_bos": ""}, "'hist': compiler_bos '' must be a nonempty string"),
        (lib.make_hist(), ABC, 3, {"compiler_bos": ["$"]}, "'hist': compiler_bos .*must be a nonempty string"),
        (lib.make_hist(), ABC, 3, {"compiler_pad": 0}, "'hist': compiler_pad 0 must be a nonempty string"),
        (lib.make_hist(), ABC, 3, {"causal": "no"}, "'hist': causal 'no' must be True or False"),
        (lib.make_hist(), ABC, 3, {"causal": None}, "'hist': causal None must be True or False"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": 0}, "'hist': mlp_exactness 0 must be a number above 0, such as"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": -1.5}, "'hist': mlp_exactness -1.5 must be a number above 0"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": float("nan")}, "'hist': mlp_exactness nan must be"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": float("inf")}, "'hist': mlp_exactness inf must be"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": True}, "'hist': mlp_exactness True must be"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": "100"}, "'hist': mlp_exactness '100' must be"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": None}, "'hist': mlp_exactness None must be"),
        (lib.make_hist(), ABC, 3, {"mlp_exactness": 10**400}, "'hist': mlp_exactness 1000*0 must be"),
        (
            lib.make_hist(),
            ABC,
            3,
            {"mlp_exactness": 1e50},
            "'hist': .*too large for single precision; mlp_exactness is 1e.50",
        ),
        (lib.make_hist(), ABC, 3, {"compiler_pad": "compiler_bos"}, "'hist': compiler_bos and compiler_pad are both"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(
    program: Any, vocab: Any, length: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        compile_rasp(program, vocab, length, **options)
    assert "\n" not in str(raised.value) and " at 0x" not in str(raised.value)


@pytest.mark.parametrize("missing", ["tracr", "jax", "haiku"])
def test_a_missing_installation_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=f"needs Tracr .pip install tracr-pypi.: .*{missing}"):
        compile_rasp(lib.make_hist(), ABC, 3)
