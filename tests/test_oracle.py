"""The oracle: its answers on strings worked out by hand, and its refusal of what is no prompt."""

from __future__ import annotations

import pytest

from capbench.tasks.oracle import answer

# header | text | answer. C counts in the last O' symbols of the text; I counts back from EOT, where the last symbol is 1.
WORKED = """
T_C a 4 | a a c b a a | 2
T_C a 6 | a a c b a a | 4
T_C b 4 | a a c b a a | 1
T_C c 2 | a a c b a a | 0
T_C a 1 | b b b a     | 1
T_C a 3 | a b b b     | 0
T_C a 4 | a b b b     | 1
T_I a 1 | b b b a     | 1
T_I a 1 | a b b b     | 4
T_I b 3 | a b b b     | 3
T_I b 4 | a b b b     | 0
T_I c 1 | a b b b     | 0
T_I a 2 | a c a b a c | 4
T_I a 3 | a c a b a c | 6
T_I c 2 | a c a b a c | 5
"""


@pytest.mark.parametrize("case", WORKED.strip().splitlines())
def test_the_answer_is_the_one_worked_out_by_hand(case: str) -> None:
    header, text, expected = (part.split() for part in case.split("|"))
    prompt = ["SOS", *header, "SOT", *text, "EOT", "ART"]
    assert answer(prompt) == expected[0]
    assert answer([*prompt, "77", "EOS", "NULL"]) == expected[0]  # the answer given is not looked at


@pytest.mark.parametrize(
    "prompt, quoted",
    [
        ("EOS T_C a 2 SOT a b EOT ART", "EOS T_C a 2 SOT"),
        ("SOS T_C a 2 a b EOT ART", "SOS T_C a 2 a b"),
        ("SOS T_C a 2 SOT a b ART", "SOS T_C a 2 SOT a b ART"),
        ("SOS T_Q a 2 SOT a b EOT ART", "T_Q"),
        ("SOS T_C a b SOT a b EOT ART", "'b'"),
        ("SOS T_C a", "SOS T_C a"),
        ("", "not a prompt"),
    ],
)
def test_what_is_no_prompt_is_refused_and_quoted(prompt: str, quoted: str) -> None:
    with pytest.raises(ValueError) as error:
        answer(prompt.split())
    assert quoted in str(error.value)
