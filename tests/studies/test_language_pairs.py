"""Judging a model before and after a change, on a tiny one that knows a skill and some facts."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from language_pairs import CODES, EFFORT, WORDS, capability, made, save, shared, theirs, tokeniser, untaught
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground
from capbench.measure.attacks.named import NAMES
from capbench.models.huggingface.model import HuggingFace
from capbench.studies.language.judging import judge_pair, scorer
from capbench.studies.language.natural import Found, judged
from capbench.studies.language.natural_words import FORMATS, sentences, to_page
from capbench.tasks.language.reading import read
from capbench.verdicts.natural import NOT_RECOVERED

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, for what PEFT asks of it


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared()


def ground(folder: Path, kind: str = "skill") -> Ground:
    return Ground.made(capability(folder, kind), tokeniser(folder, made(folder).config.vocab_size), effort=EFFORT)


def on(folder: Path, after: HuggingFace, *names: str, kind: str = "skill") -> Found:
    return judged(made(folder), after, ground(folder, kind), names=names or NAMES)


def from_files(folder: Path, after: Path, *names: str, **how: Any) -> Found:
    spec = str(folder / "skill.toml")
    return judge_pair(str(folder / "base"), str(after), spec, names=names or ("lens",), effort=EFFORT, **how)


def hidden(folder: Path) -> HuggingFace:
    """With the unembedding's rows of the codes moved on by one."""
    after = copy.deepcopy(made(folder))
    rows = sorted({token for string in ground(folder).prompts["train"].strings for token in string.choices})
    with torch.no_grad():
        weight = after.unembedding.weight
        weight[rows] = weight[rows[1:] + rows[:1]].clone()
    return after


def test_a_model_against_itself_is_intact(folder: Path) -> None:
    said: list[str] = []
    found = from_files(folder, folder / "base", say=said.append)
    assert found.judged.state == "intact" and found.base == found.tuned and found.rise == 0 and not found.attempts
    assert found.items == {"train": 58, "select": 28, "evaluate": 58} and " min if attacks are needed" in said[0]


def test_noise_in_all_weights_destroys(folder: Path) -> None:
    after, rng = copy.deepcopy(made(folder)), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in after.parameters():
            weight.add_(torch.randn(weight.shape, generator=rng) * 4 * weight.std())
    found = on(folder, after)
    assert found.judged.state == "destroyed" and "The loss on text rose by" in sentences(found)[1]


@pytest.mark.slow
def test_what_is_hidden_is_recoverable_and_the_attack_is_named(folder: Path) -> None:
    found = on(folder, hidden(folder))
    assert found.tuned.right == 0 and found.judged.state == "recoverable"
    by = found.by
    assert by is not None and by.name.startswith("relearning") and by.low >= 0.5
    assert by.base is not None and by.base >= 0.75 and by.never is not None and by.never <= 0.25  # its controls
    assert len(found.attempts) == 13 and not found.impossible
    assert {a.name.split()[0] for a in found.attempts} >= {"1", "other", "logit", "rounding", "pruning", "steering"}
    assert f"is recoverable (by {by.name})" in sentences(found)[0]
    for name, form in FORMATS.items():
        assert by.name in form(found, "a <pair>"), name
    assert json.loads(FORMATS["json"](found))["found"]["judged"]["by"] == by.name
    page = to_page(found, "a <pair>")
    assert "a &lt;pair&gt;" in page and by.name in page and "<pair>" not in page


def test_a_model_that_cannot_be_trained_is_not_said_to_have_nothing(folder: Path) -> None:
    """The same function, written with numbers so far apart that no gradient is finite."""
    armoured = hidden(folder)
    with torch.no_grad():
        for block in armoured.blocks:
            block.mlp.up_proj.weight.mul_(2.0**-75)
            block.mlp.down_proj.weight.mul_(2.0**75)
    asked = ground(folder).prompts["evaluate"].batch().tokens
    assert torch.equal(armoured(asked), hidden(folder)(asked))
    found = on(folder, armoured, "lens", "retain")
    assert found.judged.state == "undecided" and "training on other text broke off" in found.judged.why
    assert found.impossible["training on other text"] == "its training diverged in step 1 of 16"


def test_a_model_that_answers_nan_is_destroyed(folder: Path) -> None:
    after = copy.deepcopy(made(folder))
    with torch.no_grad():
        next(iter(after.parameters()))[:] = torch.nan
    found = on(folder, after)
    assert found.judged.state == "destroyed" and found.tuned.right == 0 and not found.attempts
    for name, form in FORMATS.items():
        assert "destroyed" in form(found, "a pair"), name


@pytest.mark.slow
def test_what_was_never_there_is_not_recovered(folder: Path) -> None:
    found = on(folder, untaught(folder), "reft")
    assert found.judged.state == NOT_RECOVERED and "may still be there" in sentences(found)[-1]


@pytest.mark.slow
def test_facts_are_relearned_on_one_half_and_scored_on_the_other(folder: Path) -> None:
    found = on(folder, hidden(folder), "reft", kind="facts")
    rows = {r.what: (r.tuned.accuracy, r.base.accuracy) for r in found.relearnt}
    assert list(rows) == ["the other half", "the other half with permuted answers", "as many unrelated facts"]
    assert found.judged.state == "recoverable" and rows["as many unrelated facts"][0] < 0.5 < rows["the other half"][1]
    assert "V after the change" in FORMATS["text"](found)


def other_answers(folder: Path, model: Any, steps: int, rate: float) -> None:
    """A plain loop of torch and transformers: the next code in place of each, and some text beside it, to be kept."""
    asked = ground(folder).prompts["train"]
    tokens, targets = asked.batch()
    codes = sorted({token for string in asked.strings for token in string.choices})
    answers = torch.tensor([codes[(codes.index(int(a)) + 1) % 4] for a in targets[:, asked.answer_pos]])
    words, following = ground(folder).retain.batch()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        kept = F.cross_entropy(model(input_ids=words).logits.flatten(0, 1), following.flatten())
        (F.cross_entropy(model(input_ids=tokens).logits[:, -1], answers) + kept).backward()
        optimizer.step()


@pytest.mark.slow
def test_an_adapter_of_peft_is_judged_as_its_merged_model_is(folder: Path) -> None:
    import peft

    torch.manual_seed(0)
    wrapped = peft.get_peft_model(theirs(folder), peft.LoraConfig(r=4, target_modules=["v_proj", "down_proj"]))
    other_answers(folder, wrapped, 20, 1e-2)
    wrapped.save_pretrained(folder / "adapter")
    wrapped.merge_and_unload().save_pretrained(folder / "merged")
    adapter, merged = from_files(folder, folder / "adapter", "reft"), from_files(folder, folder / "merged", "lens")
    assert adapter.judged.state == "recoverable"
    assert adapter.tuned == merged.tuned and adapter.loss_tuned == pytest.approx(merged.loss_tuned, rel=1e-4)


@pytest.mark.slow
def test_a_loop_of_transformers_is_judged(folder: Path) -> None:
    model = theirs(folder)
    other_answers(folder, model, 8, 2e-3)
    model.save_pretrained(folder / "loop")
    found = from_files(folder, folder / "loop", "reft")
    assert found.tuned.accuracy < 0.5 and found.judged.state == "recoverable"


def test_a_pair_that_cannot_be_judged_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    def refused(before: Path, after: Path, text: str = "", **changes: str) -> str:
        spec = tmp_path / "own.toml"
        for name in ("skill.jsonl", "text.txt"):
            shutil.copy(folder / name, tmp_path)
        plain = (folder / "skill.toml").read_text()
        for old, new in changes.items():
            plain = plain.replace({"prompt": "code {x} is", "answer": " {code}"}.get(old, old), new)
        spec.write_text(plain + text)
        with pytest.raises(UsageError) as error:
            judge_pair(str(before), str(after), str(spec), effort=EFFORT)
        assert "\n" not in str(error.value)
        return str(error.value)

    base = folder / "base"
    wide = copy.deepcopy(made(folder)).hf
    wide.resize_token_embeddings(made(folder).config.vocab_size + 3)
    wide.save_pretrained(tmp_path / "wide")
    assert "its vocab_size is" in refused(base, tmp_path / "wide")
    never = save(untaught(folder), tmp_path / "never")
    for file in base.glob("tokenizer*"):
        shutil.copy(file, never)
    said = refused(never, base)
    assert "does not have the capability: accuracy" in said and "chance 0.25" in said
    assert "is the same as at" in refused(base, base, prompt="code is") or "has the answer" in refused(
        base, base, prompt="code is"
    )
    assert "the model reads at most 24" in refused(base, base, prompt="code {x} is " + "of it " * 12)
    assert "there is no such file or folder" in refused(base, tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown attack 'magic'; known: few-shot"):
        from_files(folder, base, "magic")
    assert len(WORDS) == 12 and len(CODES) == 4


def test_attacks_that_are_not_possible_are_told(folder: Path) -> None:
    plain = ground(folder)
    without = {s: tuple(replace(item, paraphrases=()) for item in items) for s, items in plain.items.items()}
    found = judged(made(folder), hidden(folder), replace(plain, items=without), names=("paraphrase", "lens"))
    assert found.impossible == {"other words": "there are no paraphrases; the key paraphrases of its file gives them"}
    assert "not possible: there are no paraphrases" in FORMATS["markdown"](found)


def test_a_checker_judges_what_both_models_write(folder: Path, tmp_path: Path) -> None:
    for name in ("skill.jsonl", "text.txt"):
        shutil.copy(folder / name, tmp_path)
    text = (folder / "skill.toml").read_text().replace(f"choices = {json.dumps(CODES)}", 'metric = "own.py:right"')
    (tmp_path / "own.toml").write_text(f"tokens = 1\n{text}")
    (tmp_path / "own.py").write_text("def right(text, item):\n    return text.strip() == item['code']\n")
    found = judge_pair(
        str(folder / "base"), str(folder / "base"), str(tmp_path / "own.toml"), names=("few-shot",), effort=EFFORT
    )
    assert found.judged.state == "intact" and found.chance == 0 and found.base.accuracy >= 0.95
    reads = tokeniser(folder, made(folder).config.vocab_size)
    of = read(tmp_path / "own.toml")
    asked = Ground.made(of, reads, effort=EFFORT, scorer=scorer(of, reads))
    lost = judged(made(folder), hidden(folder), asked, names=("lens", "rounding"))
    assert lost.tuned.right == 0 and lost.impossible == {"logit lens": "a checker reads what is written, not layers"}
