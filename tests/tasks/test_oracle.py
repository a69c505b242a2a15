"""The oracle: its answers on strings worked out by hand, and its refusal of what is no prompt."""

from __future__ import annotations

import pytest
from pcfg_prompts import CASES, FORMATS

from capbench.tasks.pcfg.oracle import answer
from capbench.tasks.pcfg.prompt import PromptFormat

TURNED = PromptFormat(header=("number", "family", "operand"), question="after")


@pytest.mark.parametrize("header, text, expected", CASES)
def test_the_answer_is_the_one_worked_out_by_hand(header: str, text: str, expected: str) -> None:
    prompt = f"SOS T_{header} SOT {text} EOT ART".split()
    assert answer(prompt) == expected
    assert answer([*prompt, "77", "EOS", "NULL"]) == expected  # the answer given is not looked at
    family = prompt[1].removeprefix("T_")
    assert answer(["SOS", "T_NJ", *prompt[2:]], {"NJ": family, "J1": "C"}) == expected


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f"{'-'.join(f.header)}-{f.question}")
def test_the_answer_is_the_same_in_every_format(format: PromptFormat) -> None:
    for asked, text, expected in CASES:
        words = dict(zip(("family", "operand", "number"), f"T_{asked}".split(), strict=True))
        header = " ".join(words[name] for name in format.header)
        before, after = f"SOS {header} SOT {text} EOT ART", f"SOS SOT {text} EOT {header} ART"
        right, wrong = (before, after) if format.question == "before" else (after, before)
        assert answer(right.split(), format=format) == expected
        with pytest.raises(ValueError, match="not a prompt"):
            answer(wrong.split(), format=format)


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("SOS SOT a a c b a a EOT 4 T_C a ART", "2"),
        ("SOS SOT a c a b a c EOT 3 T_I a ART 6 EOS", "6"),
        ("SOS SOT a a c b EOT 2 T_T NULL ART", "c"),
    ],
)
def test_a_question_may_stand_after_the_text(prompt: str, expected: str) -> None:
    assert answer(prompt.split(), format=TURNED) == expected


@pytest.mark.parametrize(
    "prompt, quoted",
    [
        ("SOS SOT a b EOT 4 T_C ART", "incomplete: SOS SOT a b EOT 4 T_C ART"),
        ("SOS SOT a b EOT", "incomplete"),
        ("SOS SOT a b EOT 2 a T_C ART", "'a' is not a family"),
        ("SOS SOT a b EOT 3 T_C a ART", "must be from 1 to 2"),
        ("SOT a b EOT 2 T_C a ART", "not a prompt"),
    ],
)
def test_what_is_no_prompt_of_the_format_is_refused_and_quoted(prompt: str, quoted: str) -> None:
    with pytest.raises(ValueError) as error:
        answer(prompt.split(), format=TURNED)
    assert quoted in str(error.value)


def test_a_family_token_may_mean_another_family() -> None:
    prompt = ["SOS", "T_C", "a", "2", "SOT", *"abac", "EOT", "ART"]
    assert [answer(prompt, meanings) for meanings in (None, {}, {"I": "C"}, {"C": "I"})] == ["1", "1", "1", "4"]


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("SOS T_C ( 3 SOT ( ( ) ( EOT ART", "2"),
        ("SOS T_IC xyxy 1 SOT x xy xy y EOT ART", "2"),
        ("SOS T_T NULL 2 SOT 0 1 10 EOT ART", "1"),
    ],
)
def test_any_words_may_be_symbols_of_the_text(prompt: str, expected: str) -> None:
    assert answer(prompt.split()) == expected


@pytest.mark.parametrize(
    "prompt, quoted",
    [
        ("EOS T_C a 2 SOT a b EOT ART", "EOS T_C a 2 SOT"),
        ("SOS T_C a 2 a b EOT ART", "SOS T_C a 2 a b"),
        ("SOS T_C a 2 SOT a b ART", "SOS T_C a 2 SOT a b ART"),
        ("SOS T_Q a 2 SOT a b EOT ART", "'Q'"),
        ("SOS T_NJ a 2 SOT a b EOT ART", "'NJ'"),
        ("SOS T_C a b SOT a b EOT ART", "'b'"),
        ("SOS T_C a 0 SOT a b EOT ART", "T_C a 0"),
        ("SOS T_I a 0 SOT a b EOT ART", "T_I a 0"),
        ("SOS T_T NULL 0 SOT a b EOT ART", "T_T NULL 0"),
        ("SOS T_T NULL 3 SOT a b EOT ART", "T_T NULL 3"),
        ("SOS T_T NULL 1 SOT EOT ART", "T_T NULL 1"),
        ("SOS T_T a 1 SOT a b EOT ART", "operand: a"),
        ("SOS T_CC a 2 SOT a b EOT ART", "composite operand: a"),
        ("SOS T_IC ab 1 SOT a b EOT ART", "composite operand: ab"),
        ("SOS T_CC aaa 2 SOT a b EOT ART", "composite operand: aaa"),
        ("SOS T_C a", "SOS T_C a"),
        ("", "not a prompt"),
    ],
)
def test_what_is_no_prompt_is_refused_and_quoted(prompt: str, quoted: str) -> None:
    with pytest.raises(ValueError) as error:
        answer(prompt.split())
    assert quoted in str(error.value)
