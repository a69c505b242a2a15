"""What a classifier says of told stories, of models whose answers are known; and that a batch changes no answer."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_stories import corpus

from capbench.configs import GptConfig
from capbench.errors import NoAnswerError
from capbench.measure.classified import Classifier, skill, tell_own, told_tokens
from capbench.measure.telling import mean_features
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.studies.stories.prepared import stories_in
from capbench.tasks.stories.checker import check
from capbench.tasks.stories.corpus.questions import QuestionTask
from capbench.tasks.stories.corpus.task import CorpusTask, lengths
from capbench.tasks.stories.corpus.tokenising import END, NO, SPECIAL, YES
from capbench.tasks.stories.features import FEATURES


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> CorpusTask:
    folder = corpus(tmp_path_factory.mktemp("own") / "corpus", train=150, valid=100)
    made = stories_in(str(folder), folder.parent / "prepared", vocab_size=512, seq_len=320)
    return replace(made, split="evaluate")


class Knows(Model):
    """Answers every question as the checker would, but for a share of no: it misses every `misses`-th story with the feature."""

    def __init__(self, stories: CorpusTask, misses: int = 0) -> None:
        super().__init__()
        self.stories, self.misses, self.asked = stories, misses, 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*tokens.shape, self.stories.vocab_size)
        for row, out in zip(tokens.tolist(), logits, strict=True):
            at = next(i for i, token in enumerate(row) if NO < token < len(SPECIAL))
            feature = FEATURES[row[at] - NO - 1]
            has = feature in check(self.stories.opened.tokens.decode(row[:at])).features
            if has and self.misses:
                self.asked += 1
                has = self.asked % self.misses != 0
            out[at, YES if has else NO] = 9.0
        return logits


class Echo(Model):
    """Goes on with each block as the corpus does."""

    def __init__(self, tokens: torch.Tensor) -> None:
        super().__init__()
        self.tokens, self.config = tokens, SimpleNamespace(seq_len=tokens.shape[1])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*tokens.shape, 512)
        for row, out in zip(tokens, logits, strict=True):
            known = next(k for k in self.tokens if torch.equal(k[: len(row)], row))
            out[-1, known[len(row)] if len(row) < len(known) else END] = 9.0
        return logits


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_sensitivity_and_specificity_are_told_apart(stories: CorpusTask) -> None:
    task: Any = QuestionTask(stories=stories, seq_len=320)
    found = skill(Classifier(Knows(stories)), task, "Twist", 40, rng())
    assert (found.sensitivity, found.specificity, found.accuracy, found.n) == (1, 1, 1, 40)
    half = skill(Classifier(Knows(stories, misses=2)), task, "Twist", 40, rng())
    assert (half.sensitivity, half.specificity, half.accuracy) == (0.5, 1, 0.75)


def test_what_is_told_is_what_the_corpus_tells(stories: CorpusTask) -> None:
    batch, told, asked = stories.with_features(9, rng())
    expected = [frozenset(f for f, has in zip(FEATURES, row, strict=True) if has) for row in told.tolist()]
    found = tell_own(
        Echo(batch.tokens), batch, asked, tokens=stories.opened.tokens, classifier=Classifier(Knows(stories))
    )
    assert [f.features for f in found.found] == expected and found.all_right == 1
    assert all(re.match(r"[A-Z].*\.$", text) and "Story:" not in text for text in found.texts)
    assert found.share("Twist") == pytest.approx(float(told[:, FEATURES.index("Twist")].float().mean()))


def gpt(stories: CorpusTask) -> Gpt:
    config = GptConfig(vocab_size=stories.vocab_size, seq_len=320, n_blocks=1, d_model=12, n_heads=2)
    return Gpt.initialised(config, rng()).eval()


def test_answers_do_not_depend_on_what_is_asked_beside(stories: CorpusTask) -> None:
    texts, _ = QuestionTask(stories=stories, seq_len=320).labelled("Twist", 8, np.random.default_rng(0))
    judge = Classifier(gpt(stories))
    assert judge.says(texts, "Twist") == [judge.says([text], "Twist")[0] for text in texts]
    assert judge.says([[]], "Twist") in ([True], [False])  # an empty story is one, too
    torch.nn.init.constant_(judge.model.norm.weight, float("nan"))  # type: ignore[union-attr,arg-type]
    with pytest.raises(NoAnswerError, match="NaN on 8 of 8 stories"):
        judge.says(texts, "Twist")


def test_a_story_that_does_not_end_is_cut_at_the_context(stories: CorpusTask) -> None:
    batch, _, _ = stories.with_features(5, rng())
    model = gpt(stories)
    with torch.no_grad():
        model.unembedding.weight[END] = 0
        for part in (model.token_embedding, model.position_embedding):
            part.weight.mul_(8)
    told = told_tokens(model, batch)
    for story, start in zip(told, lengths(batch)[0].tolist(), strict=True):
        assert len(story) <= 320 - start


def test_features_are_averaged_up_to_each_string_s_end(stories: CorpusTask) -> None:
    batch, _, _ = stories.with_features(4, rng())
    model, ends = gpt(stories), lengths(batch)[1]
    found = mean_features(model, batch.tokens, last=10, ends=ends)
    for i, end in enumerate(ends.tolist()):
        alone = mean_features(model, batch.tokens[i : i + 1, :end], last=10)
        assert torch.allclose(found[:, i], alone[:, 0], atol=1e-5)
