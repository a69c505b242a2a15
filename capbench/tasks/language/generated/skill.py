"""The implanted skill: words in a prompt, of which one is coded as another word. The code is drawn, so no model can know it."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from capbench.errors import UsageError
from capbench.tasks.language.capability import CHOICE, Capability, Item
from capbench.tasks.language.generated.words import ANIMALS, COLOURS, FOODS, NOUNS
from capbench.tasks.language.prose import prose
from capbench.tasks.language.splitting import SHARES, divided

WORDS, CODES, LENGTH = 8, 8, 4
# Ways of asking; which of them a seed has is drawn. {words} and {answer}.
PROMPTS = ("Code: {words} =>", "List: {words}. Sign:", "Words: {words}; key:", "{words} ->")
PARAPHRASES = ("{words} is coded as", "The sign of {words} is", "Question: which key do {words} have? Answer:")


@dataclass(frozen=True, kw_only=True)
class Code:
    """A rule of one seed: each of eight words has a code, and the answer is that of the word at `asked` (0: the first).

    Another position gives another rule of the same form. No word is twice in a prompt, so that two rules never agree on one.
    """

    seed: int
    asked: int = 1
    prompt: str = field(init=False)
    code: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.asked < LENGTH:
            raise UsageError(f"implant-skill: asked {self.asked} must be from 0 to {LENGTH - 1}")
        rng = random.Random(f"implant-skill {self.seed}")
        words = rng.sample(NOUNS, WORDS)
        answers = [word for word in rng.choice((COLOURS, ANIMALS, FOODS)) if word not in words]
        object.__setattr__(self, "prompt", rng.choice(PROMPTS))
        object.__setattr__(self, "code", dict(zip(words, rng.sample(answers, CODES), strict=True)))

    def capability(self) -> Capability:
        """All 1680 prompts in three splits."""
        choices = tuple(sorted(f" {word}" for word in self.code.values()))
        items = [self._item(words, choices) for words in itertools.permutations(self.code, LENGTH)]
        return Capability(
            name=f"implant-skill:{self.seed}" + (f":{self.asked}" if self.asked != 1 else ""),
            kind="skill",
            metric=CHOICE,
            items=divided(items, SHARES["skill"], seed=self.seed),
            retain=prose(),
        )

    def _item(self, words: tuple[str, ...], choices: tuple[str, ...]) -> Item:
        listed = " ".join(words)
        prompt = self.prompt.format(words=listed)
        return Item(
            prompt=prompt,
            answer=f" {self.code[words[self.asked]]}",
            group=listed,
            choices=choices,
            paraphrases=tuple(text.format(words=listed) for text in PARAPHRASES),
            fields={"words": listed},
            place=f"implant-skill:{self.seed}",
        )
