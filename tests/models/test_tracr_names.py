"""Compiling the same program gives the same bits and names everywhere, and no two parts of it one name."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rasp_programs import ABC, INDICES, TOKENS, TRUE
from tracr.compiler import lib
from tracr.rasp import rasp

from capbench.models.tracr import compile_rasp
from capbench.tasks.tracr import programs

HERE = Path(__file__).parent


def fingerprints() -> list[str]:
    """Of two compiled programs: the digest of all that is in the model, and the labels of its residual stream."""
    found = []
    for program in (programs.count("a"), lib.detect_pattern(TOKENS, "ab")):
        model = compile_rasp(program, set("abcd"), 4)
        digest = hashlib.sha256(repr(model.config).encode())
        for name, value in model.state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
        found.append(" ".join([digest.hexdigest(), *model.residual_labels]))
    return found


@pytest.mark.slow
def test_the_same_program_gives_the_same_bits_in_every_process() -> None:
    """Whatever was compiled before, and however strings hash."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import {__name__} as here\nprint(hash('a'), *here.fingerprints(), sep='\\n')"],
        env={
            **os.environ,
            "PYTHONHASHSEED": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (HERE, HERE.parent / "helpers"))),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    compile_rasp(lib.make_hist(), {"a", "b"}, 2)
    _ = [rasp.Map(lambda x: x, rasp.tokens).label for _ in range(7)]
    busy = fingerprints()
    hashed, *fresh = process.communicate(timeout=120)[0].splitlines()
    assert int(hashed) != hash("a") or os.environ.get("PYTHONHASHSEED") == "1"
    assert fresh == busy and len(fresh) == 2
    assert {"answer:0", "count:0", "count_selector_width_attn_output", "is_a:True", "one"} <= set(fresh[0].split())
    # Two expressions of one name are told apart by numbers of their own.
    assert {label.split(":")[0] for label in fresh[1].split()[1:]} >= {"map_4", "map_6"}


def test_an_annotated_copy_is_not_taken_for_its_original() -> None:
    """In Tracr the copy of an expression that was compiled before keeps its number, and the two become one."""
    is_a = rasp.Map(lambda x: x == "a", TOKENS)
    compile_rasp(is_a, ABC, 3)
    assert is_a.label == rasp.numerical(is_a).label  # what goes wrong in Tracr
    share = rasp.numerical(rasp.Aggregate(rasp.Select(TOKENS, TOKENS, TRUE), rasp.numerical(is_a), default=0))
    more = rasp.Map(lambda x: x > 0.4, share)
    program = rasp.SequenceMap(lambda here, most: here and most, is_a, more)
    assert compile_rasp(program, ABC, 3).apply(["compiler_bos", *"aab"]).decoded[1:] == [True, True, False]


def test_names_that_could_be_mistaken_keep_their_numbers() -> None:
    tricky = rasp.SequenceMap(
        lambda x, y: x + y,
        rasp.Map(lambda x: x * 2, TOKENS).named("tokens"),
        rasp.Map(lambda x: x * 3, INDICES).named("plain"),
    ).named("one")
    labels = compile_rasp(tricky, {1, 2}, 2).residual_labels
    assert {"tokens:1", "tokens_2:2", "plain:0", "one", "one_5:5"} <= set(labels) and len(set(labels)) == len(labels)


def test_labels_that_would_coincide_all_keep_their_numbers() -> None:
    width = rasp.SelectorWidth(rasp.Select(TOKENS, TOKENS, TRUE)).named("w")
    other = rasp.numerical(rasp.Map(lambda x: x, width)).named("w_selector_width_attn_output")
    labels = compile_rasp(other, ABC, 2).residual_labels
    assert len(set(labels)) == len(labels)
    assert {"w_3:0", "w_3_selector_width_attn_output", "w_selector_width_attn_output_4"} <= set(labels)
