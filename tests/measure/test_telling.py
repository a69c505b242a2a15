"""What a model tells, of models that tell what they are told: shares, losses and probabilities that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from capbench.measure.telling import Told, answer_probability, mean_features, mean_loss, tell
from capbench.models.base import Activations, Model
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.stories import vocabulary
from capbench.tasks.stories.drawing import PROMPT
from capbench.tasks.stories.features import FEATURES
from capbench.tasks.stories.task import StoryTask, branch_tokens

N = 6


class Parrot(Model):
    """Goes on with each of the stories that it knows as it goes on, for sure but for `doubt`, spread over all tokens."""

    def __init__(self, stories: torch.Tensor, doubt: float = 1e-6) -> None:
        super().__init__()
        self.config = SimpleNamespace(seq_len=stories.shape[1])
        self.register_buffer("stories", stories)
        self.doubt = doubt

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        end = tokens.shape[1]
        which = [(self.stories[:, :PROMPT] == row[:PROMPT]).all(1).nonzero()[0, 0] for row in tokens]
        rows = self.stories[torch.stack(which)]
        following = torch.cat([rows, rows[:, -1:]], 1)[:, 1 : end + 1]
        vocab = len(vocabulary.names())
        p = torch.nn.functional.one_hot(following, vocab) * (1 - self.doubt) + self.doubt / vocab
        return p.log()

    def run_with_cache(self, tokens: torch.Tensor, *, attention: bool = False) -> tuple[torch.Tensor, Activations]:
        place = torch.arange(tokens.shape[1], dtype=torch.float32).expand(tokens.shape)
        return self(tokens), Activations(torch.stack([place, 10 * place])[..., None], None)


@pytest.fixture(scope="module")
def drawn() -> tuple[Batch, torch.Tensor, torch.Tensor]:
    return StoryTask().with_features(N, torch.Generator().manual_seed(0))


def expected(has: torch.Tensor) -> list[frozenset[str]]:
    return [frozenset(f for f, there in zip(FEATURES, row, strict=True) if there) for row in has.tolist()]


def test_stories_that_are_told_are_read(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    batch, told, asked = drawn
    found = tell(Parrot(batch.tokens), batch, asked)
    assert [f.features for f in found.found] == expected(told)
    assert found.whole == found.all_right == 1 and found.unread == 0
    for i, feature in enumerate(FEATURES):
        assert found.share(feature) == pytest.approx(float(told[:, i].float().mean())) and found.right(feature) == 1
    assert found.texts[0] == vocabulary.decode(batch.tokens[0, PROMPT:].tolist())


def test_what_follows_the_blocks_is_not_looked_at(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    batch, _, asked = drawn
    hidden = batch.tokens.clone()
    hidden[:, PROMPT:] = 0
    assert tell(Parrot(batch.tokens), Batch(hidden, batch.targets), asked) == tell(Parrot(batch.tokens), batch, asked)


def test_stories_other_than_those_asked_for(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    batch, _, asked = drawn
    found = tell(Parrot(batch.tokens), batch, ~asked)
    assert found.all_right == 0 and all(found.right(feature) == 0 for feature in FEATURES)


def test_a_story_with_one_word_wrong_is_unread_and_lacks_the_event(
    drawn: tuple[Batch, torch.Tensor, torch.Tensor],
) -> None:
    batch, told, asked = drawn
    task = StoryTask()
    wrong = batch.tokens.clone()
    wrong[:, task.answer_pos + 3] = vocabulary.index()["never"]
    found = tell(Parrot(wrong), batch, asked)
    assert found.share("Twist") == 0 and found.unread == 1 and found.whole == 0
    assert found.share("Dialogue") == pytest.approx(float(told[:, FEATURES.index("Dialogue")].float().mean()))


def test_drawn_stories_hang_on_their_generator(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    batch, _, asked = drawn

    def told(seed: int) -> Told:
        model = Parrot(batch.tokens, doubt=0.3)
        return tell(model, batch, asked, temperature=1.0, rng=torch.Generator().manual_seed(seed))

    assert told(0).texts == told(0).texts != told(1).texts
    assert told(0).unread > 0.5


def test_the_loss_is_the_mean_over_targets(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    batch, _, _ = drawn
    vocab = len(vocabulary.names())
    sure = 0.75 + 0.25 / vocab
    assert mean_loss(Parrot(batch.tokens, doubt=0.25), batch) == pytest.approx(-math.log(sure), rel=1e-5)
    targets = batch.targets.clone()
    used = (targets != IGNORE).nonzero()
    targets[tuple(used[0])] = 0  # one target that the model holds for unlikely
    right = len(used) - 1
    mixed = (-right * math.log(sure) - math.log(0.25 / vocab)) / len(used)
    assert mean_loss(Parrot(batch.tokens, doubt=0.25), Batch(batch.tokens, targets)) == pytest.approx(mixed, rel=1e-5)


def test_the_branch_token_is_as_likely_as_the_model_says() -> None:
    task = StoryTask(shares={"Twist": 1.0})
    batch = task.sample(N, torch.Generator().manual_seed(0))
    plain, event = branch_tokens("Twist")
    model = Parrot(batch.tokens, doubt=0.25)
    assert torch.allclose(answer_probability(model, task, batch, event), torch.tensor(0.75), atol=1e-3)
    assert torch.allclose(
        answer_probability(model, task, batch, plain), torch.tensor(0.25 / task.vocab_size), atol=1e-5
    )


def test_features_are_the_mean_over_the_last_positions(drawn: tuple[Batch, torch.Tensor, torch.Tensor]) -> None:
    tokens = drawn[0].tokens[:, :50]
    found = mean_features(Parrot(drawn[0].tokens), tokens, last=10)
    assert found.shape == (2, N, 1) and found[:, 0, 0].tolist() == [44.5, 445.0]
    assert mean_features(Parrot(drawn[0].tokens), tokens, last=1)[:, 0, 0].tolist() == [49.0, 490.0]
