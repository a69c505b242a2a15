"""A capability that a given model has from pretraining: the model after the method under test, or after somebody's own change."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from capbench.errors import UsageError
from capbench.pipeline.steps import Edit, FineTune, Step
from capbench.studies.language.natural_preset import NaturalPreset
from capbench.studies.language.shared import LanguageStudy, content_of, loading, vocabulary_of
from capbench.studies.seeds import subseed
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.language.capability import Capability
from capbench.tasks.language.named import capability, is_implant
from capbench.tasks.language.novel import permuted
from capbench.tasks.language.splitting import held_out
from capbench.tasks.language.streams import aligned

DEFAULT = "capitals"
DATA = ("rule", "text")  # what a method is given to learn
ADAPTER = "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class NaturalStudy(LanguageStudy):
    """The method runs on the given model. checker: the hash of the user's function that judges answers, if there is one."""

    preset: NaturalPreset
    checker: str = ""

    def on(self, path: str, capabilities: tuple[str, ...]) -> Self:
        """See `LanguageStudy`. Of several capabilities the one that is no implant; capitals if none is given."""
        asked = [spec for spec in capabilities if not is_implant(spec)]
        if len(asked) > 1:
            raise UsageError(
                f"the natural suite takes one capability at a time, not {' and '.join(asked)}; run it for each"
            )
        spec = asked[0] if asked else DEFAULT
        of = capability(spec)
        named = replace(self, load=loading(path), capability=spec, title=of.name)
        return replace(
            named,
            content=content_of(of),
            vocabulary=vocabulary_of(named.tokeniser, of),
            checker=_digest(of.metric) if of.is_checked else "",
        )

    @property
    def asked(self) -> Capability:
        """What the model is asked."""
        return _capability(self.capability, self.content)

    @property
    def task_name(self) -> str:
        return f"natural {self.title or DEFAULT}"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the name of a rate."""
        found = dict(case)
        if "lr" in case:
            found |= {"eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}
        return found

    def tuned(self, seed: int, *, data: str, lr: str) -> FineTune:
        """The model after the method under test.

        data: what the method is given as its target: `rule`, other answers to the same prompts; `text`, what is to be kept.
        """
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        return FineTune(
            base=self.base,
            method=self.method,
            task=self.task(seed, data=data),
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
        )

    def task(self, seed: int, *, data: str) -> FineTuningTask:
        """What a method is given: all items, as what is to go are all of them; of a skill those to train on."""
        if data not in DATA:
            raise UsageError(f"data={data}: must be one of {', '.join(DATA)}")
        of = self.asked
        every = replace(of, items={**of.items, "train": of.taught})
        other = permuted(every, seed=seed)
        forget, rule = (self.tokeniser.prompts(each, each.items["train"]) for each in (every, other))
        before = max(forget.before, rule.before, self.preset.text_len)
        forget, rule = (replace(stream, before=before) for stream in aligned(forget, rule))
        kept, _ = held_out(of.retain)  # on the others damage is measured
        kept = tuple(random.Random(f"kept {seed}").sample(kept, len(kept)))
        texts = self.tokeniser.texts(
            f"texts beside {of.name}", kept, length=forget.seq_len, answer_pos=forget.answer_pos
        )
        return FineTuningTask(target=rule if data == "rule" else texts, retain=texts, forget=forget, others=texts)


@dataclass(frozen=True, kw_only=True)
class PairStudy(NaturalStudy):
    """A finished pair: the given model, and what --capbench-tuned names. The method under test has no part in it."""

    after: Step | None = field(default=None)

    @property
    def task_name(self) -> str:
        return f"finished {self.title or DEFAULT}"

    def beside(self, path: str) -> Self:
        """With the model after the change: a folder, a .gguf file or the folder of a PEFT adapter on the given model.

        Raises UsageError, one line, for a model of another architecture or vocabulary.
        """
        from capbench.studies.language.pair import check_alike, check_tokens, tokeniser_at

        place = Path(path).expanduser()
        if (place / ADAPTER).is_file():
            from capbench.models.huggingface.adapter import adapter_identity

            arguments = {"folder": str(place.resolve()), "adapter": adapter_identity(place)}
            edit = "capbench.models.huggingface.adapter:merged_in"
            return replace(self, after=Edit(start=self.base, edit=edit, arguments=arguments))
        found = loading(str(place))
        check_alike(path, found.model, self.base.path, self.base.model)  # type: ignore[arg-type]
        if (own := tokeniser_at(place)) is not None:
            check_tokens(path, own, self.asked, self.tokeniser)
        return replace(self, after=found)

    @property
    def judged(self) -> Step:
        """The model after the change. Raises UsageError if none was given."""
        if self.after is None:
            raise UsageError("no model after a change was given; --capbench-tuned=hf:PATH names one")
        return self.after


@lru_cache(maxsize=4)
def _capability(spec: str, content: str) -> Capability:
    """Read once, as long as its content stays."""
    return capability(spec)


def _digest(metric: str) -> str:
    return hashlib.sha256(Path(metric.rpartition(":")[0]).read_bytes()).hexdigest()[:16]
