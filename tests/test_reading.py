"""Every file that a user writes, in every encoding: UTF-8 is read with and without a byte order mark, the others are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs_example import healthy

from capbench.checkpoints import manifest, places
from capbench.errors import CapbenchError
from capbench.expectations import files as expectations
from capbench.methods.peft.adapters import from_config
from capbench.methods.peft.configs import read as read_adapter
from capbench.methods.specs import registry
from capbench.reading import EncodingError, check_python
from capbench.report import load
from capbench.results import to_json
from capbench.store.syntax import file_digest, source_digest
from capbench.studies.pcfg.own_file import find_task

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["qkv"], "base_model_name_or_path": "café"}
EXPECTED = '[[claim]]\npattern = "wrapper.*"\nexpect = "supported"\nreason = """\ncafé,\nof course"""\n'
TASK = """from capbench.tasks.pcfg.setting import PcfgSetting
NAME = 'café'
spec = PcfgSetting(text_len=60, numbers={'C': 9, 'I': 2})
"""
METHOD = "NAME = 'café'\n\n\ndef tune(model, task, config, *, weight=1.0):\n    return NAME\n"
EXPORTED = {
    "capbench": "café",
    "torch": "2",
    "scale": "smoke",
    "seeds": [0],
    "streams": "full",
    "files": {},
    "entries": [],
}


def said(text: Any) -> str:
    return json.dumps(text, ensure_ascii=False, indent=1)


def results() -> str:
    return said({**json.loads(to_json(healthy())), "warnings": ["café"]})


def exported() -> str:
    return said({"schema": manifest.SCHEMA, **EXPORTED})


def adapter(file: Path) -> Any:
    """The configuration that `from_config` makes its method of."""
    assert callable(from_config(file))
    return read_adapter(file, f"peft:{file.name}")


def found_method(file: Path) -> Any:
    """With an argument, which its source must show that it takes. Its digest is that of its bytes, so it is left out."""
    return replace(registry.find(f"{file}:tune", arguments=(("weight", 0.5),)), digest="")


# What is written, the file's name, and what reads it.
READERS: dict[str, tuple[Callable[[], str], str, Callable[[Path], Any]]] = {
    "adapter config, found": (lambda: said(LORA), "a.json", lambda file: registry.find(f"peft:{file}")),
    "adapter config, loaded": (lambda: said(LORA), "a.json", adapter),
    "expectations": (lambda: EXPECTED, "e.toml", lambda file: expectations.read(str(file))),
    "manifest": (exported, "manifest.json", lambda file: manifest.read(file.parent)),
    "results": (results, "results.json", load),
    "index of shards": (lambda: said({"weight_map": {"café": "a"}}), "model.safetensors.index.json", places.weight_map),
    "method, found": (lambda: METHOD, "mine.py", found_method),
    "method, loaded": (lambda: METHOD, "mine.py", lambda file: registry.load(registry.find(f"{file}:tune"))(0, 0, 0)),
    "task": (lambda: TASK, "mine.py", lambda file: find_task("--capbench-task", f"{file}:spec")),
}
FOREIGN = {
    "utf-16": "is UTF-16, not UTF-8: save it as UTF-8",
    "utf-32": "is UTF-32, not UTF-8: save it as UTF-8",
    "utf-16-le": "save it as UTF-8",
    "latin-1": "is not UTF-8 (byte 0xe9 in line ",
}


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_and_line_ends_change_nothing(reader: str, tmp_path: Path) -> None:
    made, name, read = READERS[reader]
    (file := tmp_path / name).write_bytes(made().encode())
    plain = read(file)
    assert plain
    for content in (made().encode("utf-8-sig"), made().replace("\n", "\r\n").encode()):
        file.write_bytes(content)
        assert read(file) == plain


@pytest.mark.parametrize("encoding", FOREIGN)
@pytest.mark.parametrize("reader", READERS)
def test_another_encoding_is_named_in_one_line(reader: str, encoding: str, tmp_path: Path) -> None:
    made, name, read = READERS[reader]
    (file := tmp_path / name).write_bytes(made().encode(encoding))
    with pytest.raises(CapbenchError) as error:
        read(file)
    assert FOREIGN[encoding] in str(error.value) and "\n" not in str(error.value)
    assert "save it as UTF-8" in str(error.value)
    assert name in str(error.value) or reader == "index of shards"


def test_text_of_utf_16_without_a_mark_is_no_utf_8_although_it_decodes(tmp_path: Path) -> None:
    (file := tmp_path / "e.toml").write_bytes('[[claim]]\npattern = "a"\n'.encode("utf-16-le"))
    with pytest.raises(CapbenchError, match=r"e\.toml is not UTF-8 text \(a zero byte in line 1\): save it as UTF-8$"):
        expectations.read(str(file))


def test_the_line_of_a_wrong_byte_is_said(tmp_path: Path) -> None:
    (file := tmp_path / "e.toml").write_bytes(b'[[claim]]\n# fine\npattern = "caf\xe9"\n')
    with pytest.raises(CapbenchError, match=r"is not UTF-8 \(byte 0xe9 in line 3\)"):
        expectations.read(str(file))


def test_python_that_names_its_encoding_is_read(tmp_path: Path) -> None:
    (file := tmp_path / "mine.py").write_bytes(f"# -*- coding: latin-1 -*-\n{METHOD}".encode("latin-1"))
    check_python(file)
    assert registry.load(registry.find(f"{file}:tune"))(0, 0, 0) == "café"
    assert file_digest(file) == source_digest(METHOD)


def test_python_that_names_an_encoding_it_is_not_in_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "mine.py").write_bytes(f"# coding: ascii\n{METHOD}".encode("latin-1"))
    with pytest.raises(EncodingError, match=r"is not UTF-8 \(byte 0xe9 in line 2\)"):
        check_python(file)


def test_the_hash_of_what_a_file_does_is_the_same_with_a_mark(tmp_path: Path) -> None:
    for name, content in (("a.py", METHOD.encode()), ("b.py", METHOD.encode("utf-8-sig"))):
        (tmp_path / name).write_bytes(content)
    assert file_digest(tmp_path / "a.py") == file_digest(tmp_path / "b.py") == source_digest(METHOD)
