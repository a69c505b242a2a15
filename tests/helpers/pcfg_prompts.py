"""What the tests of the PCFG tasks share: answers worked out by hand, a small setting, prompts as words, a time limit."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import permutations
from typing import get_args

import torch

from capbench.tasks.base import Task
from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.prompt import PromptFormat, Question
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.splits import Split

# family, operand, O' | text | answer. Positions are counted back from EOT: the last symbol is 1.
WORKED = """
C a 4    | a a c b a a   | 2
C a 6    | a a c b a a   | 4
C b 4    | a a c b a a   | 1
C c 2    | a a c b a a   | 0
C a 1    | b b b a       | 1
C a 3    | a b b b       | 0
C a 4    | a b b b       | 1
CC aa 4  | b a a a       | 2
CC aa 3  | b a a a       | 2
CC aa 2  | b a a a       | 1
CC aa 4  | a a b a a     | 1
CC aa 3  | a a b b       | 0
CC aa 4  | a a b b       | 1
CC bb 5  | a a a b a     | 0
CC cc 5  | c c c c c     | 4
CC aa 3  | a b a b a     | 0
I a 1    | b b b a       | 1
I a 1    | a b b b       | 4
I b 3    | a b b b       | 3
I b 4    | a b b b       | 0
I c 1    | a b b b       | 0
I a 2    | a c a b a c   | 4
I a 3    | a c a b a c   | 6
I c 2    | a c a b a c   | 5
IC aa 1  | b a a a       | 1
IC aa 2  | b a a a       | 2
IC aa 3  | b a a a       | 0
IC aa 1  | a a b b c     | 4
IC bb 1  | a a b b c     | 2
IC bb 2  | b b c a b b   | 5
IC cc 1  | c a c b c     | 0
IC aa 3  | a a a a b a a | 5
T NULL 1 | a a c b       | b
T NULL 2 | a a c b       | c
T NULL 4 | b a c a       | b
"""
CASES = [tuple(part.strip() for part in line.split("|")) for line in WORKED.strip().splitlines()]

DEFAULT = PromptFormat()
FORMATS = [
    PromptFormat(header=(one, two, three), question=question)
    for question in get_args(Question)
    for one, two, three in permutations(("family", "operand", "number"))
]

SETTING = PcfgSetting(text_len=12, numbers={"C": 8, "CC": 7, "I": 2, "IC": 1, "T": 3})
PRIOR = {"a": 0.7, "b": 0.2, "c": 0.1}
SPLITS: tuple[Split, ...] = ("train", "select", "evaluate")
UNLIKELY = 1e-4  # seeds are fixed, so a test that passes once always does


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prompts(task: Task, n: int, seed: int = 0, setting: PcfgSetting = SETTING) -> list[list[str]]:
    """n prompts as words."""
    return [setting.vocabulary.decode(row).split() for row in task.sample(n, rng(seed)).tokens.tolist()]


def asked(
    prompt: list[str], terminal: str, meanings: Mapping[str, str] | None = None, format: PromptFormat = DEFAULT
) -> int:
    """The oracle's answer if the prompt asked for this terminal, or for its composite where it asks for one."""
    place = (1 if format.question == "before" else prompt.index("EOT") + 1) + format.header.index("operand")
    return int(oracle.answer([*prompt[:place], terminal * len(prompt[place]), *prompt[place + 1 :]], meanings, format))


def given(prompt: list[str]) -> str:
    """The answer that the prompt holds."""
    return prompt[prompt.index("ART") + 1]


@contextmanager
def seconds(limit: float) -> Iterator[None]:
    """Fail, rather than hang, when the block takes longer."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"still at work after {limit} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
