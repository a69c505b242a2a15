"""PCFG settings: vocabulary, families and their numbers, texts of a grammar and of a split, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from pcfg_prompts import FORMATS, PRIOR, SETTING, SPLITS, given, prompts, rng, seconds

from capbench.errors import UsageError
from capbench.studies.pcfg import preset as presets
from capbench.tasks.base import IGNORE
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.families import FAMILIES
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask

# a^n b^n: half of all strings have 2 symbols, one of 128 has 16 or more, one of a million 40.
NESTED = Grammar(
    start="S", terminals=("b", "a"), rules={"S": ((("a", "S", "b"), 0.5), (("a", "b"), 0.5))}, max_length=40
)


def named(token: str, family: str, number: int, text_len: int = 12) -> PcfgSetting:
    return PcfgSetting(text_len=text_len, numbers={token: number}, meanings={token: family})


def lettered(*terminals: str) -> PcfgSetting:
    only = Grammar(start="S", terminals=terminals, rules={"S": ((terminals * 2, 1.0),)})
    return PcfgSetting(text_len=4, numbers={"C": 2}, grammar=only)


# ---- vocabulary


def test_the_vocabulary_is_specials_families_terminals_composites_and_numbers() -> None:
    setting = PcfgSetting(text_len=4, numbers={"T": 1, "NJ": 2, "I": 1}, meanings={"NJ": "C"}, grammar=NESTED)
    names = "SOS SOT EOT ART EOS NULL T_NJ T_I T_T b a bb aa 0 1 2 3 4"
    assert setting.vocabulary.decode(list(range(len(setting.vocabulary)))) == names
    assert setting.operands == ("b", "a") and setting.seq_len == 5 + 4 + 4
    assert [setting.family(token).name for token in setting.families] == ["C", "I", "T"]


def test_settings_are_equal_however_their_mappings_are_written() -> None:
    numbers, meanings = {"NJ": 8, "J1": 7, "I": 2, "T": 3}, {"NJ": "C", "J1": "C"}
    one = PcfgSetting(text_len=12, numbers=numbers, meanings=meanings)
    other = PcfgSetting(text_len=12, numbers=dict(reversed(numbers.items())), meanings=dict(reversed(meanings.items())))
    assert one == other and one.vocabulary == other.vocabulary and one.families == other.families
    assert prompts(pretraining(one, PRIOR), 40, setting=one) == prompts(pretraining(other, PRIOR), 40, setting=other)


def test_the_papers_own_setting_gives_prompts_of_259_tokens() -> None:
    setting = presets.paper().setting
    mixture = pretraining(setting, PRIOR)
    batch = mixture.sample(4, rng())
    assert batch.tokens.shape == batch.targets.shape == (4, 5 + 250 + 4)
    for prompt in prompts(mixture, 8, setting=setting):
        assert prompt[-2] == oracle.answer(prompt)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f"{'-'.join(f.header)}-{f.question}")
def test_prompts_go_through_the_tokenizer_and_back_in_every_format(format: PromptFormat) -> None:
    setting = replace(SETTING, format=format)
    words, usual = (prompts(pretraining(s, PRIOR), 40, setting=s) for s in (setting, SETTING))
    tokens = [setting.vocabulary.encode(prompt) for prompt in words]
    assert tokens == pretraining(setting, PRIOR).sample(40, rng()).tokens.tolist()
    assert [setting.vocabulary.encode(" ".join(prompt)) for prompt in words] == tokens
    assert [given(prompt) for prompt in words] == [oracle.answer(prompt, format=format) for prompt in words]
    parts, expected = format.read(np.array(words)), SETTING.format.read(np.array(usual))
    for one, other in zip(parts, expected, strict=True):  # the question and its answer are those of the usual format
        assert np.array_equal(one, other)
    assert set(np.unique(parts.number)) == {"8", "7", "2", "1", "3"} and parts.text.shape == (40, 12)


ONE_TEXT = Grammar(start="S", terminals=("a", "b", "c"), rules={"S": ((tuple("abaacb"), 1.0),)})


@pytest.mark.parametrize(
    "format, expected, header",
    [
        (PromptFormat(), "SOS T_C a 4 SOT a b a a c b EOT ART 2 EOS", [1, 2, 3]),
        (
            PromptFormat(header=("number", "operand", "family")),
            "SOS 4 a T_C SOT a b a a c b EOT ART 2 EOS",
            [1, 2, 3],
        ),
        (PromptFormat(question="after"), "SOS SOT a b a a c b EOT T_C a 4 ART 2 EOS", [9, 10, 11]),
    ],
)
def test_prompts_and_targets_are_those_written_by_hand(format: PromptFormat, expected: str, header: list[int]) -> None:
    setting = PcfgSetting(text_len=6, numbers={"C": 4}, grammar=ONE_TEXT, format=format)
    split = next(s for s in SPLITS if setting.in_split(np.array([[0, 1, 0, 0, 2, 1]]), s)[0])
    task = PcfgTask(setting=setting, prior={"a": 1.0}, split=split, targets="all")
    batch = task.sample(1, rng())
    words = expected.split()
    assert setting.vocabulary.decode(batch.tokens[0].tolist()) == expected
    assert words[task.answer_pos] == "ART" and len(words) == task.seq_len
    taught = {at + 1: setting.vocabulary.names[t] for at, t in enumerate(batch.targets[0].tolist()) if t != IGNORE}
    assert taught == {i: w for i, w in enumerate(words) if w not in ("SOS", "SOT") and i not in header}


# ---- texts


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("seed", range(4))
def test_texts_are_found_where_hardly_any_string_is_long_enough(split: str, n: int, seed: int) -> None:
    setting = PcfgSetting(text_len=16, numbers={"C": 4}, grammar=NESTED)
    texts = setting.texts(n, split, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert len(texts) >= n and texts.shape[1] == 16
    # A piece of a...ab...b, in which b is symbol 0: once it has gone down, it never rises.
    assert (np.diff(texts, axis=1) <= 0).all() and set(np.unique(texts)) <= {0, 1}


def test_texts_of_a_long_string_are_its_pieces() -> None:
    only = Grammar(start="S", terminals=("a", "b", "c"), rules={"S": ((tuple("abcabcabcabc"), 1.0),)})
    setting = PcfgSetting(text_len=5, numbers={"C": 2}, grammar=only)
    found = set()
    for split in SPLITS:
        try:
            found |= {tuple(text) for text in setting.texts(200, split, np.random.default_rng(0)).tolist()}
        except UsageError as error:  # three texts can leave a split without any
            assert f"'{split}'" in str(error)
    assert found == {tuple((first + i) % 3 for i in range(5)) for first in range(3)}


def test_splits_share_no_text_whatever_the_seeds() -> None:
    setting = PcfgSetting(text_len=8, numbers={"C": 6, "I": 1})  # few enough texts that a split meets them again
    drawn = {
        (split, seed): {
            tuple(p[5:13])
            for c in (None, Correlation(o_pt="a", o_ft="b", rate=0.5))
            for p in prompts(
                PcfgTask(setting=setting, prior=PRIOR, split=split, correlation=c), 300, seed, setting=setting
            )
        }
        for split in SPLITS
        for seed in (0, 1, 2)
    }
    for (one, first), texts in drawn.items():
        for (other, second), others in drawn.items():
            assert bool(texts & others) == (one == other), (one, first, other, second)


@pytest.mark.parametrize("numbers, window", [({"C": 10, "T": 3}, 10), ({"I": 2, "CC": 9}, 9), ({"C": 4}, 12)])
def test_no_counted_window_is_in_two_splits(numbers: dict[str, int], window: int) -> None:
    setting = PcfgSetting(text_len=12, numbers=numbers)
    assert setting.window == window
    seen = {
        split: {tuple(text[-window:]) for text in setting.texts(4000, split, np.random.default_rng(i)).tolist()}
        for i, split in enumerate(SPLITS)
    }
    for one, its in seen.items():
        for other, others in seen.items():
            assert bool(its & others) == (one == other)
    # What stands before the window changes nothing.
    text = setting.texts(1, "select", np.random.default_rng(0))[:1]
    before = np.array(list(product((0, 1, 2), repeat=12 - window)))
    moved = np.concatenate([before, np.repeat(text[:, -window:], len(before), axis=0)], axis=1)
    assert setting.in_split(moved, "select").all()


# ---- mistakes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text_len", [3, 4])
def test_a_familys_numbers_are_those_with_which_it_can_answer(family: str, text_len: int) -> None:
    # A number is usable if there is a text of this length whose answer is not 0.
    every = np.array(list(product((0, 1, 2), repeat=text_len)))

    def usable(number: int) -> bool:
        if not 1 <= number <= text_len:
            return False
        return family == "T" or bool(FAMILIES[family].answer(every, np.array(0), number).any())

    accepted = []
    for number in range(-1, text_len + 3):
        try:
            named("NJ", family, number, text_len)
        except UsageError as error:
            assert f"O' = {number} of family NJ" in str(error) and f"{text_len} tokens" in str(error)
        else:
            accepted.append(number)
    assert accepted == [number for number in range(-1, text_len + 3) if usable(number)]


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "family": (lambda: PcfgSetting(text_len=12, numbers={"C": 3, "X": 3}), "'X'"),
    "meaning": (lambda: named("NJ", "X", 3), "'X'"),
    "meaning without number": (lambda: PcfgSetting(text_len=12, numbers={"C": 3}, meanings={"NJ": "C"}), "'NJ'"),
    "token without meaning": (lambda: PcfgSetting(text_len=12, numbers={"NJ": 3}), "'NJ'"),
    "family asked for": (lambda: SETTING.family("NJ"), "'NJ'; it has C, CC, I, IC, T"),
    "text longer than any string": (lambda: PcfgSetting(text_len=433, numbers={"C": 4}), "433"),
    "text longer than max_length": (lambda: PcfgSetting(text_len=41, numbers={"C": 4}, grammar=NESTED), "41"),
    "terminal named as a special": (
        lambda: PcfgSetting(
            text_len=1,
            numbers={"C": 1},
            grammar=Grammar(start="S", terminals=("a", "EOT"), rules={"S": ((("a",), 1.0),)}),
        ),
        "'EOT'",
    ),
    "terminal named as a family": (
        lambda: PcfgSetting(
            text_len=1,
            numbers={"C": 1},
            grammar=Grammar(start="S", terminals=("T_C",), rules={"S": ((("T_C",), 1.0),)}),
        ),
        "'T_C'",
    ),
    "terminal named as a number": (lambda: lettered("a", "3"), "'3' must name exactly one token"),
    "terminal named as a composite": (lambda: lettered("a", "aa"), "'aa' must name exactly one token"),
    "terminal of two words": (lambda: lettered("a", "a b"), "'a b' must name exactly one token"),
    "family of two words": (lambda: named("N J", "C", 3), "'T_N J' must name exactly one token"),
    "header twice": (lambda: PromptFormat(header=("family", "family", "number")), "('family', 'family', 'number')"),
    "header of two": (lambda: PromptFormat(header=("family", "number")), "('family', 'number')"),  # type: ignore[arg-type]
    "header as text": (lambda: PromptFormat(header="family"), "'family'"),  # type: ignore[arg-type]
    "question": (lambda: PromptFormat(question="between"), "'between'"),  # type: ignore[arg-type]
    "prompt without text": (lambda: PromptFormat().read(np.zeros((2, 9))), "(2, 9)"),
    "word": (lambda: SETTING.vocabulary.encode("SOS T_C d 8"), "'d'"),
    "number as a word": (lambda: SETTING.vocabulary.encode(["13"]), "'13'"),
    "hardly any string as long": (
        lambda: PcfgSetting(text_len=40, numbers={"C": 4}, grammar=NESTED).texts(8, "select", np.random.default_rng(0)),
        "no text of 40 tokens in split 'select'",
    ),
}


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_within_seconds_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with seconds(10), pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)


def test_texts_may_be_as_long_as_the_longest_string() -> None:
    assert PcfgSetting(text_len=432, numbers={"C": 4}).text_len == PAPER_GRAMMAR.longest == 432
    assert PcfgSetting(text_len=40, numbers={"C": 4}, grammar=NESTED).seq_len == 49
