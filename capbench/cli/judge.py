"""`capbench judge`: a model before and after a change; is the capability that it had still there, or can it be brought back?"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from capbench.cli import output
from capbench.session.options.given import Given, declare

EXIT_CODES = (
    "exit code: 0 a verdict, whatever it is; 2 a mistake on the command line, in a file or in an item, a pair of different "
    "models, or a model before that does not have the capability"
)


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "judge",
        allow_abbrev=False,
        help="judge a model before and after a change: is a capability intact, recoverable, or destroyed?",
        description="Judge a finished pair of language models: what became of a capability that the model before has, by attacks "
        "that try to bring it back. Says what it will cost before it starts. Nothing is downloaded, and no model is changed.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "before", metavar="BEFORE", help="a folder with config.json, safetensors and a tokenizer, or .gguf"
    )
    parser.add_argument(
        "after",
        metavar="AFTER",
        help="the same after the change, or the folder of a PEFT adapter that is put on BEFORE",
    )
    declare(parser.add_argument, "judge")
    parser.set_defaults(run=_judge)


def _judge(namespace: argparse.Namespace) -> int:
    options = Given.read("judge", namespace).checked()
    from capbench.measure.attacks.named import NAMES
    from capbench.studies.language.judging import judge_pair
    from capbench.studies.language.natural_words import FORMATS, sentences, to_page

    form = output.chosen(FORMATS, options["format"])
    found = judge_pair(
        namespace.before,
        namespace.after,
        options["capability"],
        names=options["attacks"] or NAMES,
        device=options["device"],
        say=_say,
    )
    title = f"{namespace.before} and {namespace.after}: {found.capability}"
    if options["html"] is not None:
        output.write("--html", options["html"], to_page(found, title))
    output.give(form(found, title), options["output"])
    if options["output"] is not None:
        print("\n".join(sentences(found)), flush=True)
    return 0


def _say(words: str) -> None:
    print(f"capbench: {words}", file=sys.stderr, flush=True)
