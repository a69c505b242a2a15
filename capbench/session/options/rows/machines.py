"""Options: what a plan would take on other machines."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import Option
from capbench.session.options.takers import PLAN

ROWS = (
    Option(
        name="simulate",
        takers=(PLAN,),
        type=values.flag,
        help="schedule the models that are missing on machines that you describe, at the speed of the models in the cache: "
        "time, longest chain, how busy the machines are, from how many on more gain nothing. Nothing is made",
    ),
    Option(
        name="nodes",
        value="N",
        takers=(PLAN,),
        type=values.count,
        default="1",
        needs="simulate",
        help="machines; several are used as a Ray cluster",
    ),
    Option(
        name="cores",
        value="N",
        takers=(PLAN,),
        type=values.count,
        otherwise="as many as models train at a time here",
        needs="simulate",
        help="cores of each machine",
    ),
    Option(
        name="gpus",
        value="N",
        takers=(PLAN,),
        type=values.count,
        otherwise="1 on cuda",
        needs="simulate",
        help="GPUs of each machine; none of this machine's is needed",
    ),
    Option(
        name="gpus-per-task",
        value="SHARE",
        takers=(PLAN,),
        type=values.gpu_share,
        otherwise="0.25 on several machines or GPUs; one GPU trains stacks",
        needs="simulate",
        excludes={"stack": "models train one by one on a Ray cluster"},
        help="share of a GPU for each training",
    ),
    Option(
        name="methods",
        value="N",
        takers=(PLAN,),
        type=values.count,
        otherwise="those that are given",
        needs="simulate",
        help="as many fine-tuning methods: those beyond the given ones are taken to be like them, with models of their own",
    ),
    Option(
        name="empty-cache",
        takers=(PLAN,),
        type=values.flag,
        needs="simulate",
        help="as if none of the models were in the cache; how long they took is still known",
    ),
    Option(
        name="format",
        value="FORMAT",
        takers=(PLAN,),
        type=values.plan_format,
        default="text",
        needs="simulate",
        help="text or json",
    ),
)
