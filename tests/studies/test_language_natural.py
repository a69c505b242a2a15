"""The natural suite and finished pairs: what methods are given, what is read and kept, and what a run says."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_models import saved
from language_pairs import made, save, shared, theirs
from safetensors.torch import load_file, save_file
from word_tokenizer import WordTokenizer

from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground
from capbench.methods.specs import registry
from capbench.pipeline.build import build, load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Edit
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies.lab import Bench, Lab
from capbench.studies.language.natural_preset import smoke
from capbench.studies.language.natural_readings import ability, outcome
from capbench.studies.language.natural_study import NaturalStudy, PairStudy
from capbench.studies.language.pair import check_tokens
from capbench.studies.language.shared import content_of, vocabulary_of
from capbench.tasks.language.tokenising import Tokeniser

PRESET = replace(smoke(), attacks=("lens", "reft"), effort=replace(smoke().effort, steps=16))


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared()


def pair(folder: Path) -> PairStudy:
    return PairStudy(preset=PRESET).on(str(folder / "base"), ("implant:x.toml", str(folder / "skill.toml")))


def hidden(folder: Path) -> Path:
    """With the unembedding's rows of the codes moved on by one."""
    after = copy.deepcopy(made(folder))
    study = pair(folder)
    asked = study.tokeniser.prompts(study.asked, study.asked.items["train"])
    rows = sorted({token for string in asked.strings for token in string.choices})
    with torch.no_grad():
        weight = after.unembedding.weight
        weight[rows] = weight[rows[1:] + rows[:1]].clone()
    return save(after, folder / "hidden")


def test_a_method_is_given_all_facts_with_other_answers_and_text(folder: Path) -> None:
    study = NaturalStudy(preset=PRESET, method=registry.find("npo")).on(
        str(folder / "base"), (str(folder / "facts.toml"),)
    )
    rule, text = (study.task(0, data=data) for data in ("rule", "text"))
    right, other = rule.forget.strings, rule.target.strings  # type: ignore[attr-defined]
    assert len(right) == len(other) == len(list(study.asked))
    assert [s.tokens for s in right] == [s.tokens for s in other]
    assert all(one.answer != two.answer for one, two in zip(right, other, strict=True))
    assert text.target == text.retain == rule.retain
    keys = {study.tuned(seed, data=data, lr="medium").key for seed in (0, 1) for data in ("rule", "text")}
    assert len(keys) == 4
    with pytest.raises(UsageError, match="data=facts: must be one of rule, text"):
        study.task(0, data="facts")
    with pytest.raises(UsageError, match=r"one capability at a time, not .*skill.toml and .*facts.toml"):
        study.on(str(folder / "base"), tuple(str(folder / f"{kind}.toml") for kind in ("skill", "facts")))


def test_no_text_on_which_damage_is_measured_is_given_to_the_method(folder: Path) -> None:
    study = NaturalStudy(preset=PRESET, method=registry.find("npo")).on(
        str(folder / "base"), (str(folder / "facts.toml"),)
    )
    ground = Ground.made(study.asked, study.tokeniser, effort=PRESET.effort)

    def runs(texts: Any) -> set[tuple[int, ...]]:
        """All runs of six tokens."""
        return {string[i : i + 6] for string in texts.strings for i in range(len(string) - 5)}

    assert runs(ground.texts) and not runs(ground.texts) & runs(study.task(0, data="text").retain)
    assert not runs(ground.texts) & runs(ground.retain)


def test_a_key_holds_all_that_decides_what_is_asked(folder: Path) -> None:
    of = pair(folder).asked
    first, *rest = of.items["train"]

    def changed(**what: Any) -> str:
        return content_of(replace(of, items={**of.items, "train": (replace(first, **what), *rest)}))

    found = {
        content_of(of), changed(group="another"), changed(fields={**first.fields, "accept": "x"}),
        changed(choices=(*first.choices, " more")), changed(paraphrases=("more",)),
    }  # fmt: skip
    assert len(found) == 5

    items = {split: items[:2] for split, items in of.items.items()}
    few = replace(of, items=items)
    plain, with_bos = (Tokeniser(WordTokenizer(bos=bos), vocab_size=999, seq_len=64) for bos in (False, True))
    assert plain.plain(["a b"]) == with_bos.plain(["a b"]) and vocabulary_of(plain, few) != vocabulary_of(with_bos, few)


def test_a_hidden_capability_is_read_as_recoverable_and_kept_in_the_store(folder: Path, tmp_path: Path) -> None:
    study = pair(folder).beside(str(hidden(folder)))
    steps = {"base": study.base, "tuned": study.judged}
    store = Store(tmp_path)
    for step in Plan(steps.values()).steps.values():
        build(step, store)
    lab, bench = Lab(store), Bench(study=study, seed=0)
    found = {m.name: m for m in (*lab.read(ability, bench, {"base": study.base}), *lab.read(outcome, bench, steps))}
    assert value(found["natural.base.above"]) >= 0.7 and value(found["natural.kept"]) == 0
    assert value(found["natural.recovered"]) >= 0.5 and found["natural.recovered"].note.startswith(
        "recoverable (by rel"
    )
    assert value(found["natural.text"]) > 0.99 and "natural.attack.logit lens" in found


def value(m: Measurement) -> float:
    assert m.value is not None
    return m.value


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, for what PEFT asks of it
def test_an_adapter_is_a_step_on_the_given_model(folder: Path, tmp_path: Path) -> None:
    import peft

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False)
        wrapped = peft.get_peft_model(theirs(folder), config).eval()
    wrapped.save_pretrained(tmp_path / "adapter")
    study = pair(folder).beside(str(tmp_path / "adapter"))
    assert isinstance(study.judged, Edit) and study.judged.start == study.base
    store = Store(tmp_path / "store")
    for step in Plan([study.judged]).steps.values():
        build(step, store)
    tokens = torch.arange(12)[None]
    merged = load_model(study.judged, store)(tokens)
    torch.testing.assert_close(merged, wrapped(input_ids=tokens).logits, atol=1e-4, rtol=1e-4)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: weight + 1 for name, weight in load_file(file).items()}, file)
    assert pair(folder).beside(str(tmp_path / "adapter")).judged.key != study.judged.key


def test_a_pair_whose_tokenizers_begin_texts_otherwise_is_refused(folder: Path) -> None:
    of = pair(folder).asked
    plain, with_bos = (Tokeniser(WordTokenizer(bos=bos), vocab_size=999, seq_len=64) for bos in (False, True))
    check_tokens("after", plain, of, plain)
    with pytest.raises(UsageError, match=r"after: its tokenizer puts '<bos>' before a text and .* before nothing"):
        check_tokens("after", with_bos, of, plain)


def test_a_finished_model_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    saved(tmp_path, "llama")
    with pytest.raises(UsageError, match=r"its vocab_size is 11 and that of .* is \d+; a pair must be of one"):
        pair(folder).beside(str(tmp_path))
    with pytest.raises(UsageError, match="--capbench-tuned=hf:PATH"):
        _ = pair(folder).judged


def test_a_run_of_a_pair(folder: Path, pytester: pytest.Pytester) -> None:
    """The model against itself: kept, so that nothing can be recovered."""
    suites = Path(__file__).parents[2] / "suites" / "language"
    given = (f"--capbench-model=hf:{folder / 'base'}", f"--capbench-capability={folder / 'skill.toml'}")
    options = (
        "-q",
        "-rsE",
        "-W",  # the plugin was loaded by the outer run; this project's filters make an error of that
        "ignore::pytest.PytestAssertRewriteWarning",
        "--capbench-jobs=1",
        "--capbench-scale=smoke",
        f"--capbench-cache={pytester.path / 'cache'}",
    )
    ended = pytester.runpytest_inprocess(suites, *given, f"--capbench-tuned=hf:{folder / 'base'}", *options)
    ended.assert_outcomes(passed=2, errors=1, skipped=23)
    ended.stdout.fnmatch_lines(
        ["*SKIPPED*--capbench-tuned: a finished model is judged by suites/language/test_pair.py*"]
    )
    ended.stdout.fnmatch_lines(["*language.pair.recovered*natural.recovered has no value*intact*"])
    ended = pytester.runpytest_inprocess(suites / "test_pair.py", *given, *options)
    ended.assert_outcomes(skipped=3)
    ended.stdout.fnmatch_lines(["*SKIPPED*no finished model was given; --capbench-tuned=hf:PATH names one*"])
