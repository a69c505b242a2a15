"""The study of stories, made for a scale and a method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.scales import at_scale
from capbench.studies.stories.preset import PRESETS
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.tools import ON_OWN_STORIES, TOOLBOX


def twist(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> StoriesStudy:
    """The paper's: Twist is deleted."""
    preset = replace(at_scale(PRESETS, scale), precision=precision)
    return StoriesStudy(preset=preset, method=method, device=device, toolbox=TOOLBOX)


def on_own(study: StoriesStudy, folder: str, root: Path) -> StoriesStudy:
    """The same on the stories in a folder, prepared in `root`, with the tools that mean something there.

    Raises UsageError, one line, for a folder that holds no such stories, or too few.
    """
    return replace(study.on(folder, root), toolbox=ON_OWN_STORIES)
