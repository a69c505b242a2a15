"""`capbench check-model`: does a model keep to what measurements rely on, and what can be measured and trained of it?"""

from __future__ import annotations

import argparse
from typing import Any

from capbench.session.options.given import Given, declare

EXIT_CODES = (
    "exit code: 0 nothing wrong (notes are not); 1 a check failed; 2 a mistake on the command line, or no such model"
)
_WIDTH = 16  # of the longest check's name


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "check-model",
        allow_abbrev=False,
        help="check a pretrained model or an architecture, in under a minute, before anything is made with it",
        description="Check a model: its size, what memory and a training step it takes, that no later token changes an earlier "
        "answer, that padding changes none, and which of its modules pruning and adapters see. Nothing is downloaded.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="hf:PATH, a folder with config.json and safetensors or a .gguf file; or an architecture, pkg.mod:Class or "
        "file.py:Class, which is tried at a small size with random weights",
    )
    declare(parser.add_argument, "check-model")
    parser.set_defaults(run=_check)


def _check(namespace: argparse.Namespace) -> int:
    Given.read("check-model", namespace).checked()
    from capbench.check.model import check_model  # imports torch: mistakes above should not wait for it

    made = failed = 0
    for finding in check_model(namespace.model):
        print(f"{finding.mark:<4}  {finding.check:<{_WIDTH}}  {finding.message}", flush=True)
        made, failed = made + 1, failed + (not finding.ok)
    print(f"{namespace.model}: " + (f"{failed} of {made} checks failed" if failed else "nothing wrong"))
    return 1 if failed else 0
