"""Checking models: good ones pass, every way of breaking the contract is found by the check that is meant for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from cli_runs import run
from hf_models import saved

from capbench.check import Finding, check_model
from capbench.errors import UsageError

MINE = """
from dataclasses import dataclass
import torch
from torch import nn
from capbench.configs import ModelConfig
from capbench.models.base import Activations, Model

@dataclass(frozen=True, kw_only=True)
class MineConfig(ModelConfig):
    d_model: int

class Mine(Model):
    'The mean of all tokens so far.'
    def __init__(self, config: MineConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(nn.Linear(config.d_model, config.d_model) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.d_model)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
    @classmethod
    def initialised(cls, config, rng):
        with torch.device('meta'):
            model = cls(config)
        model = model.to_empty(device='cpu')
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.2, generator=rng)
        return model
    def read(self, tokens):
        self._passing(tokens)
        return self.token_embedding(tokens)
    def mix(self, x, block):
        mean = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        return x + block(mean).relu()
    def run_with_cache(self, tokens, *, attention=False):
        resid = [self.read(tokens)]
        for block in self.blocks:
            resid.append(self.mix(resid[-1], block))
        return self.unembedding(self.norm(resid[-1])), Activations(torch.stack(resid), None)
    def forward(self, tokens):
        return self.run_with_cache(tokens)[0]
"""
# What is wrong with the class, and the check that must say so.
FAULTS = {
    "causality": "    def mix(self, x, block):\n        return x + block(x.mean(1, keepdim=True))",
    "one position": "    def answer_logits(self, tokens, position):\n        return self(tokens)[:, 0]",
    "residual stream": "    def run_with_cache(self, tokens, *, attention=False):\n"
    "        logits, (resid, _) = super().run_with_cache(tokens)\n        return logits, Activations(resid[1:], None)",
    "initialisation": "    @classmethod\n    def initialised(cls, config, rng):\n        return cls(config)",
    "weights tell all": "    scale = 1\n    def mix(self, x, block):\n        return super().mix(x, block) * self.scale\n"
    "    @classmethod\n    def initialised(cls, config, rng):\n        model = super().initialised(config, rng)\n"
    "        model.scale = 2\n        return model",
    "neurons": "    def neurons(self):\n        return {}",
    "training step": "    def mix(self, x, block):\n        return super().mix(x, block).detach()",
    "loads": "    @classmethod\n    def initialised(cls, config, rng):\n        raise ValueError('no such thing')",
}


def by_name(spec: str) -> dict[str, Finding]:
    found = list(check_model(spec))
    assert len({f.check for f in found}) == len(found)
    assert all(f.message and "\n" not in f.message and len(f.message) < 300 for f in found)
    return {f.check: f for f in found}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "notes"),
    [
        ("capbench.models.gpt:Gpt", {"padding"}),
        ("capbench.models.convolution:Convolution", {"padding", "attention maps"}),
        ("mine.py:Mine", {"padding", "attention maps"}),
    ],
)
def test_architectures_that_keep_to_the_contract(spec: str, notes: set[str]) -> None:
    found = by_name(spec)
    assert all(f.ok for f in found.values()), found
    assert {check for check, f in found.items() if f.note} == notes and len(found) == 11


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str, folder: Path) -> None:
    (folder / "mine.py").write_text(f"{MINE}\nclass Wrong(Mine):\n{FAULTS[fault]}\n")
    failed = {check for check, f in by_name("mine.py:Wrong").items() if not f.ok}
    # Without neurons nothing is there for adapters either.
    assert failed == ({"neurons", "PEFT"} if fault == "neurons" else {fault})


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba2", "recurrent_gemma"])
def test_pretrained_models(family: str, folder: Path) -> None:
    saved(folder / "model", family)
    found = by_name(f"hf:{folder / 'model'}")
    assert all(f.ok for f in found.values()), found
    assert "kB for the weights in float32" in found["memory"].message and "is available" in found["memory"].message
    assert re.search(r"ForCausalLM|LMHead", found["loads"].message)
    assert not found["padding"].note and "left" in found["padding"].message
    assert found["answers"].note and "tokenizer" in found["answers"].message  # there is none
    names = {"llama": "q_proj", "gpt2": "c_attn", "mamba2": "in_proj", "recurrent_gemma": "linear_y"}
    assert names[family] in found["neurons"].message and names[family] in found["PEFT"].message


def test_it_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    by_name("mine.py:Mine")
    assert torch.get_num_threads() == 2 and torch.equal(torch.get_rng_state(), state) and torch.is_grad_enabled()
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nothing", "'nothing': must be hf:PATH, pkg.mod:Class or file.py:Class"),
        ("hf:gone", "gone: there is no such file or folder"),
        ("gone.py:Mine", "there is no file gone.py"),
        ("no.such.module:Mine", "cannot be imported: ModuleNotFoundError"),
        ("mine.py:Other", "Other is not there; mine.py has Mine"),
        ("mine.py:MineConfig", "MineConfig is no subclass of capbench.models.base.Model; mine.py has Mine"),
        ("capbench.models.base:Model", "must be annotated with its own subclass of ModelConfig"),
        ("sized.py:Sized", "SizedConfig needs rank, and a check knows no value for it; give it a default"),
        ("broken.py:Mine", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_had_ends_with_2_and_one_line(
    spec: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    sized = (
        MINE.replace("MineConfig", "SizedConfig")
        .replace("Mine", "Sized")
        .replace("d_model: int", "d_model: int\n    rank: int")
    )
    (folder / "sized.py").write_text(sized.replace("SizedConfigConfig", "SizedConfig"))
    with pytest.raises(UsageError):
        list(check_model(spec))
    ended = run(capsys, "check-model", spec)
    assert (ended.code, ended.out) == (2, "") and said in ended.err and ended.err.count("\n") == 1


def test_the_command_says_one_line_per_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "check-model", "mine.py:Mine")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err, lines[-1]) == (0, "", "mine.py:Mine: nothing wrong") and len(lines) == 12
    assert {line.split()[0] for line in lines[:-1]} == {"ok", "note"}
    (folder / "mine.py").write_text(f"{MINE}\nclass Wrong(Mine):\n{FAULTS['causality']}\n")
    ended = run(capsys, "check-model", "mine.py:Wrong")
    assert ended.code == 1 and "FAIL  causality" in ended.out and ended.out.endswith("1 of 11 checks failed\n")


def test_a_pickle_ends_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "weights.bin").write_bytes(b"\x80\x04.")
    ended = run(capsys, "check-model", "hf:weights.bin")
    assert ended.code == 2 and "weights.bin: a pickle" in ended.err and ended.err.count("\n") == 1
