"""capbench: what does a fine-tuning method do to the capabilities a model already had?

The public face: each name below is imported from its module when it is first used, so importing capbench costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from capbench.check import check_method as check_method
    from capbench.configs import GptConfig as GptConfig
    from capbench.configs import ModelConfig as ModelConfig
    from capbench.configs import Precision as Precision
    from capbench.configs import TrainConfig as TrainConfig
    from capbench.errors import MethodError as MethodError
    from capbench.errors import UsageError as UsageError
    from capbench.methods.specs.registry import MethodRef as MethodRef
    from capbench.models.base import Activations as Activations
    from capbench.models.base import Model as Model
    from capbench.models.tracr import compile_rasp as compile_rasp
    from capbench.pipeline.steps import FineTune as FineTune
    from capbench.pipeline.steps import Initialise as Initialise
    from capbench.pipeline.steps import Pretrain as Pretrain
    from capbench.pipeline.steps import Revive as Revive
    from capbench.pipeline.steps import Step as Step
    from capbench.pipeline.steps import Watch as Watch
    from capbench.report.notebook import Report as Report
    from capbench.report.notebook import load as load
    from capbench.results import Measurement as Measurement
    from capbench.studies.base import FineTuningStudy as FineTuningStudy
    from capbench.studies.base import Study as Study
    from capbench.studies.judge import Case as Case
    from capbench.studies.lab import Bench as Bench
    from capbench.studies.lab import Built as Built
    from capbench.studies.pcfg.own import TaskSpec as TaskSpec
    from capbench.studies.scales import at_scale as at_scale
    from capbench.studies.seeds import subseed as subseed
    from capbench.tasks.base import IGNORE as IGNORE
    from capbench.tasks.base import Batch as Batch
    from capbench.tasks.base import Task as Task
    from capbench.tasks.finetuning import FineTuningTask as FineTuningTask
    from capbench.tasks.mixture import Mixture as Mixture
    from capbench.tasks.pcfg.grammar import Grammar as Grammar
    from capbench.tasks.pcfg.setting import PcfgSetting as PcfgSetting
    from capbench.training.loop import checkpoint as checkpoint
    from capbench.training.loop import fit as fit
    from capbench.training.loop import next_token_loss as next_token_loss
    from capbench.verdicts.claims import at_least as at_least
    from capbench.verdicts.claims import at_most as at_most
    from capbench.verdicts.tools import Tool as Tool
    from capbench.verdicts.tools import Toolbox as Toolbox

# name -> the module that defines it
PUBLIC = {
    "Activations": "capbench.models.base",
    "Batch": "capbench.tasks.base",
    "Bench": "capbench.studies.lab",
    "Built": "capbench.studies.lab",
    "Case": "capbench.studies.judge",
    "FineTune": "capbench.pipeline.steps",
    "FineTuningStudy": "capbench.studies.base",
    "FineTuningTask": "capbench.tasks.finetuning",
    "GptConfig": "capbench.configs",
    "Grammar": "capbench.tasks.pcfg.grammar",
    "IGNORE": "capbench.tasks.base",
    "Initialise": "capbench.pipeline.steps",
    "Measurement": "capbench.results",
    "MethodError": "capbench.errors",
    "MethodRef": "capbench.methods.specs.registry",
    "Mixture": "capbench.tasks.mixture",
    "Model": "capbench.models.base",
    "ModelConfig": "capbench.configs",
    "PcfgSetting": "capbench.tasks.pcfg.setting",
    "Precision": "capbench.configs",
    "Pretrain": "capbench.pipeline.steps",
    "Report": "capbench.report.notebook",
    "Revive": "capbench.pipeline.steps",
    "Step": "capbench.pipeline.steps",
    "Study": "capbench.studies.base",
    "Task": "capbench.tasks.base",
    "TaskSpec": "capbench.studies.pcfg.own",
    "Tool": "capbench.verdicts.tools",
    "Toolbox": "capbench.verdicts.tools",
    "TrainConfig": "capbench.configs",
    "UsageError": "capbench.errors",
    "Watch": "capbench.pipeline.steps",
    "at_least": "capbench.verdicts.claims",
    "at_most": "capbench.verdicts.claims",
    "at_scale": "capbench.studies.scales",
    "check_method": "capbench.check",
    "checkpoint": "capbench.training.loop",
    "compile_rasp": "capbench.models.tracr",
    "fit": "capbench.training.loop",
    "load": "capbench.report.notebook",
    "next_token_loss": "capbench.training.loop",
    "subseed": "capbench.studies.seeds",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"capbench has no {name!r}; it has {', '.join(PUBLIC)}")
    found = globals()[name] = getattr(import_module(PUBLIC[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
