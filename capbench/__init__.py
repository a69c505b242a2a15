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
    from capbench.configs import TrainConfig as TrainConfig
    from capbench.errors import MethodError as MethodError
    from capbench.errors import UsageError as UsageError
    from capbench.models.base import Model as Model
    from capbench.models.tracr import compile_rasp as compile_rasp
    from capbench.results import Measurement as Measurement
    from capbench.studies.judge import Case as Case
    from capbench.studies.lab import Bench as Bench
    from capbench.studies.lab import Built as Built
    from capbench.studies.pcfg.own import TaskSpec as TaskSpec
    from capbench.tasks.base import Batch as Batch
    from capbench.tasks.base import Task as Task
    from capbench.tasks.finetuning import FineTuningTask as FineTuningTask
    from capbench.tasks.pcfg.grammar import Grammar as Grammar
    from capbench.tasks.pcfg.setting import PcfgSetting as PcfgSetting
    from capbench.training.loop import checkpoint as checkpoint
    from capbench.training.loop import fit as fit
    from capbench.training.loop import next_token_loss as next_token_loss
    from capbench.verdicts.claims import at_least as at_least
    from capbench.verdicts.claims import at_most as at_most

# name -> the module that defines it
PUBLIC = {
    "Batch": "capbench.tasks.base",
    "Bench": "capbench.studies.lab",
    "Built": "capbench.studies.lab",
    "Case": "capbench.studies.judge",
    "FineTuningTask": "capbench.tasks.finetuning",
    "GptConfig": "capbench.configs",
    "Grammar": "capbench.tasks.pcfg.grammar",
    "Measurement": "capbench.results",
    "MethodError": "capbench.errors",
    "Model": "capbench.models.base",
    "PcfgSetting": "capbench.tasks.pcfg.setting",
    "Task": "capbench.tasks.base",
    "TaskSpec": "capbench.studies.pcfg.own",
    "TrainConfig": "capbench.configs",
    "UsageError": "capbench.errors",
    "at_least": "capbench.verdicts.claims",
    "at_most": "capbench.verdicts.claims",
    "check_method": "capbench.check",
    "checkpoint": "capbench.training.loop",
    "compile_rasp": "capbench.models.tracr",
    "fit": "capbench.training.loop",
    "next_token_loss": "capbench.training.loop",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"capbench has no {name!r}; it has {', '.join(PUBLIC)}")
    found = globals()[name] = getattr(import_module(PUBLIC[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
