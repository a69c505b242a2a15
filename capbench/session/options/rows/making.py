"""Options: how models are made: where they are kept, on what, how many at once."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option
from capbench.session.options.takers import (
    BUILD,
    CALIBRATE,
    CHECK,
    CHECK_DATA,
    FIDELITY,
    JUDGE,
    LS,
    MAKERS,
    MAP,
    PRUNE,
    REKEY,
    SIZE,
    SUITES,
    TRACE,
    TRAIN,
    VERIFY,
    WHOLE,
)

ROWS = (
    Option(
        name="cache",
        value="DIR",
        takers=(*MAKERS, TRACE, REKEY, LS, SIZE, PRUNE, WHOLE, CHECK_DATA),
        otherwise="CAPBENCH_CACHE or the user's cache directory",
        help="where models and measurements are kept",
    ),
    Option(
        name="retrain",
        takers=SUITES,
        type=values.flag,
        help="take no base model from the package: train all, and keep them in retrained/ inside the cache",
    ),
    Option(
        name="device",
        value="DEVICE",
        takers=(*MAKERS, VERIFY, TRACE, REKEY, CHECK, JUDGE),
        type=values.device,
        default="cpu",
        help="train on cpu or cuda",
    ),
    Option(
        name="precision",
        value="PRECISION",
        takers=(*SUITES, BUILD, VERIFY, TRACE, REKEY, FIDELITY, CALIBRATE, MAP),
        type=values.precision,
        default="float32",
        help="of the trainings of GPTs: float32 or bfloat16; measurements are made in float32",
    ),
    Option(
        name="jobs",
        value="N",
        takers=(*MAKERS, TRACE, REKEY),
        type=values.count,
        otherwise="all cores; 1 on cuda",
        help="trainings at a time, one core each",
    ),
    Option(
        name="stack",
        value="N",
        takers=(*SUITES, BUILD, FIDELITY, CALIBRATE, MAP),
        type=values.count,
        otherwise="16 on cuda; 1 on cpu, where more gain nothing",
        excludes={"executor=ray": "models train one by one on a Ray cluster"},
        help="train up to N models of one architecture in one pass; equal to single trainings within float32 tolerance",
    ),
    Option(
        name="executor",
        value="WHERE",
        takers=(PYTEST, TRAIN),
        type=values.executor,
        default="local",
        help="make the models on this machine (local) or on a Ray cluster (ray; pip install 'capbench[ray]')",
    ),
    Option(
        name="address",
        value="ADDRESS",
        takers=(PYTEST, TRAIN),
        type=values.address,
        otherwise="a cluster is started for this run",
        needs="executor=ray",
        help="the Ray cluster: host:port or auto; this machine must be a node of it",
    ),
    Option(
        name="gpus-per-task",
        value="SHARE",
        takers=(PYTEST, TRAIN),
        type=values.gpu_share,
        default="0.25",
        needs="executor=ray",
        help="share of a GPU that Ray gives to each training",
    ),
)
