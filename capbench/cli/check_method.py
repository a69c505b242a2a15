"""`capbench check-method`: does a method keep to the form that the suites rely on? On tiny models, in seconds."""

from __future__ import annotations

import argparse
from typing import Any

from capbench.session.options.given import Given, declare

EXIT_CODES = "exit code: 0 nothing wrong (notes are not); 1 a check failed; 2 a mistake on the command line"


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "check-method",
        allow_abbrev=False,
        help="check a method on tiny models, in seconds, before the suites train with it",
        description="Check a fine-tuning method on tiny models: what it returns, what it leaves behind, whether it repeats, "
        "and what it costs. Says nothing about how good it is.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "method",
        metavar="METHOD",
        help="a built-in name, the name of an entry point capbench.methods, pkg.mod:attr, file.py:attr or "
        "peft:adapter_config.json",
    )
    declare(parser.add_argument, "check-method")
    parser.set_defaults(run=_check)


def _check(namespace: argparse.Namespace) -> int:
    options = Given.read("check-method", namespace).checked()
    from capbench.check import check_method  # imports torch: mistakes above should not wait for it

    findings = check_method(namespace.method, arguments=dict(options["method-arg"]), device=options["device"])
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        print(f"{finding.mark:<4}  {finding.check:<{width}}  {finding.message}")
    failed = sum(not finding.ok for finding in findings)
    print(f"{namespace.method}: " + (f"{failed} of {len(findings)} checks failed" if failed else "nothing wrong"))
    return 1 if failed else 0
