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
    "pretrain_steps": 200,
    "finetune_steps": 150,
    "revive_steps": 100,
    "revive_every": 50,
    "watch_every": 50,
    "n_evaluate": 64,
    "n_select": 64,
    "n_watch": 32,
    "prune_ks": (1, 2, 5),
    "prune_most": 5,
    "random_draws": 1,
}


def tiny(*, scale, method, device, precision):
    preset = replace(smoke(), **SIZES, precision=precision)
    return PcfgCounter(preset=preset, method=method, device=device, toolbox=TOOLBOX.uncalibrated())


def pytest_capbench_register_studies(config):
    return {"tiny": tiny}
