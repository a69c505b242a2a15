"""Which claims cannot be tried with what the user gave, and why: they are skipped, and the reason is told."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from capbench.errors import UsageError

if TYPE_CHECKING:
    from capbench.session.options.checked import Options

_OF_BRANCH_TOKENS, _OF_KNOWN_MEMBERS = "stories.calibration", "language.known"


def not_applicable(item: pytest.Item, options: Options) -> str:
    """Why a test's claim cannot be tried in this run; '' if it can."""
    reasons = (_without_a_model, _without_branch_tokens, _without_the_tool)
    return next((why for reason in reasons if (why := reason(item, options))), "")


def _without_a_model(item: pytest.Item, options: Options) -> str:
    """Why a claim cannot be tried with the language models that were given; '' if it can.

    Without a model no claim about one can. A finished pair is judged by the claims about such, and by no others.
    """
    from capbench.session.studies import ON_A_MODEL, ON_A_PAIR

    marker = item.get_closest_marker("claim")
    study = None if marker is None else marker.kwargs.get("study", "pcfg-counter")
    if study is None or (options.model is None and study not in ON_A_MODEL):
        return ""
    if options.model is None:
        return "no language model was given; --capbench-model=hf:PATH names one (docs/language.md)"
    if options.tuned is None:
        return (
            "no finished model was given; --capbench-tuned=hf:PATH names one (docs/language.md)"
            if study == ON_A_PAIR
            else ""
        )
    return "" if study == ON_A_PAIR else "--capbench-tuned: a finished model is judged by suites/language/test_pair.py"


def _without_branch_tokens(item: pytest.Item, options: Options) -> str:
    """Why a claim cannot be tried on the user's own stories; '' if it can, or if there are none."""
    marker = item.get_closest_marker("claim")
    if options.data is None or marker is None or not marker.args or str(marker.args[0]) != _OF_BRANCH_TOKENS:
        return ""
    return "--capbench-data: its models of known state hide the word that begins an event, and own stories have no such word"


def _without_the_tool(item: pytest.Item, options: Options) -> str:
    """Why a tool is not tried on what is implanted; '' if it is: facts and skills are not judged by the same."""
    marker = item.get_closest_marker("claim")
    if options.model is None or marker is None or not marker.args or str(marker.args[0]) != _OF_KNOWN_MEMBERS:
        return ""
    from capbench.studies.language.implant_data import kind_of
    from capbench.studies.language.implant_values import OF

    case = getattr(getattr(item, "callspec", None), "params", {}).get("case")
    tool = getattr(case, "parameters", {}).get("tool", "")
    with suppress(UsageError):  # said where its models are asked for
        kind = kind_of(options.capabilities)
        if tool and tool not in OF[kind]:
            what = "an implanted skill is" if kind == "skill" else "implanted facts are"
            return f"{what} not judged by {tool} (docs/language.md)"
    return ""
