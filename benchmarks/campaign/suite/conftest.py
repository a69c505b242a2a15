"""A study whose models are trained in a moment."""

from dataclasses import replace

from capbench.studies.pcfg.preset import smoke
from capbench.studies.pcfg.study import PcfgCounter
from capbench.studies.pcfg.tools import TOOLBOX
from capbench.tasks.pcfg.setting import PcfgSetting

SIZES = {
    "setting": PcfgSetting(text_len=8, numbers={"C": 5}),
    "d_model": 16,
    "n_heads": 1,
    "n_blocks": 1,
    "batch_size": 16,
    "pretrain_steps": 120,
    "finetune_steps": 90,
    "revive_steps": 60,
    "revive_every": 30,
    "watch_every": 30,
    "n_evaluate": 64,
    "n_watch": 32,
}


def tiny(*, scale, method, device, precision):
    preset = replace(smoke(), **SIZES, precision=precision)
    return PcfgCounter(preset=preset, method=method, device=device, toolbox=TOOLBOX.uncalibrated())


def pytest_capbench_register_studies(config):
    return {"tiny": tiny}
