"""The table of options: those of pytest, those of every `capbench` command, and the page docs/options.md come from it.

To add an option, add a row. `Given.checked` gives its value under its name.
"""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option

PLAN, TRAIN, EXPORT = "plan", "train", "export"
BUILD, VERIFY, TRACE, REKEY = "zoo build", "zoo verify", "zoo trace", "zoo rekey"
LS, SIZE, PRUNE, WHOLE = "cache ls", "cache size", "cache prune", "cache verify"
FIDELITY, CALIBRATE, CHECK, COMPARE = "fidelity", "calibrate", "check-method", "compare"
CHECK_CAPABILITY, JUDGE = "check-capability", "judge"
MAP = "map"
SUITES = (PYTEST, PLAN, TRAIN)  # those that ask for the models of tests and take all that shapes them
MAKERS = (*SUITES, EXPORT, BUILD, FIDELITY, CALIBRATE, MAP)

_METHOD = (
    "fine-tuning method: a built-in name, the name of an entry point capbench.methods{hook}, pkg.mod:attr, file.py:attr or "
    "peft:adapter_config.json"
)
_SEEDS = "the scale's; small: 3"
_VARIANT_TASKS = "variants have tasks of their own"

GROUPS: dict[str, tuple[Option, ...]] = {
    "What is tested": (
        Option(
            name="method",
            value="METHOD",
            takers=SUITES,
            type=values.names,
            repeatable=True,
            default="full",
            help=_METHOD.format(hook=" or of the hook pytest_capbench_register_methods"),
        ),
        Option(name="method", value="METHOD", takers=(FIDELITY, MAP), default="full", help=_METHOD.format(hook="")),
        Option(
            name="method-arg",
            value="KEY=VALUE",
            takers=(*SUITES, FIDELITY, MAP, CHECK),
            type=values.method_arguments,
            repeatable=True,
            help="an argument for every method: int, float, true or false, else text",
        ),
        Option(
            name="method-depends",
            value="FILE",
            takers=(*SUITES, FIDELITY, MAP),
            type=values.paths,
            repeatable=True,
            help="a file, or a folder of files, that your methods read: after an edit their models are made again",
        ),
        Option(
            name="checkpoints",
            value="DIR",
            takers=(PYTEST,),
            type=values.checkpoints,
            excludes={
                "method": "the weights take the place of a method",
                "method-arg": "weights take no arguments",
                "method-depends": "weights read no files",
                "variants": "the folder holds no model of a variant",
                "replay": "the folder holds no model of a variant",
            },
            help="judge the tuned weights in DIR, which `capbench export` made, in place of a method",
        ),
        Option(
            name="task",
            value="TASK",
            takers=SUITES,
            excludes={"variants": _VARIANT_TASKS, "replay": _VARIANT_TASKS},
            help="run the suites of the Counter on a task of your own: file.py:attr or pkg.mod:attr, a TaskSpec or a function "
            "that returns one",
        ),
        Option(
            name="architecture",
            value="NAME",
            takers=SUITES,
            type=values.architectures,
            repeatable=True,
            otherwise="a GPT",
            help="try the claims of PCFG suites on models of this architecture: gpt, lstm, gru, convolution, state-space, "
            "linear-attention; llama, gpt2, gpt-neox, mamba2, recurrent-gemma (these with the extra hf); or module:Class",
        ),
        Option(
            name="model",
            value="hf:PATH",
            takers=SUITES,
            type=values.pretrained,
            otherwise="claims about language models are skipped",
            help="the language model for the claims about such models: a folder with config.json, safetensors and a tokenizer, "
            "or a .gguf file",
        ),
        Option(
            name="capability",
            value="NAME|FILE",
            takers=SUITES,
            type=values.capabilities,
            repeatable=True,
            needs="model",
            otherwise="each suite's own",
            help="what the language model is asked: a TOML file, or one of implant-skill, implant-facts, capitals and "
            "sentiment, with a seed as in implant-skill:0",
        ),
        Option(
            name="tuned",
            value="hf:PATH",
            takers=SUITES,
            type=values.finished,
            needs="model",
            excludes={"checkpoints": "one finished model takes the place of a method, or a folder of them"},
            otherwise="the method under test changes the model",
            help="judge a finished language model instead, which is that of --capbench-model after a change: a folder, a .gguf "
            "file, or the folder of a PEFT adapter on that model",
        ),
        Option(
            name="attacks",
            value="WHICH",
            takers=(*SUITES, EXPORT, BUILD),
            type=values.attacks,
            default="default",
            help="what is tried to bring a lost capability back. default: full fine-tuning at two rates; all: also at three "
            "rates of two optimizers for five times the steps of fine-tuning, LoRA, 64 samples, the other tasks alone, and "
            "rounding to 8 and 4 bits, each against the same baselines (half an hour per model on a core)",
        ),
        Option(
            name="scale",
            value="SCALE",
            takers=MAKERS,
            type=values.scale,
            default="small",
            help="size of models, data and trainings: smoke, small or paper",
        ),
        Option(
            name="seeds",
            value="N",
            takers=SUITES,
            type=values.count_or_auto,
            otherwise=_SEEDS,
            help="number of seeds; auto: 3, then 5, 8 and 12 for claims that are still undecided, with no more errors in all",
        ),
        Option(
            name="seeds",
            value="N",
            takers=(EXPORT, BUILD, FIDELITY),
            type=values.count,
            otherwise=_SEEDS,
            help="number of seeds",
        ),
        Option(
            name="extended", takers=(*SUITES, EXPORT, BUILD), type=values.flag, help="also the claims beyond the core"
        ),
        Option(
            name="pool",
            takers=(BUILD,),
            type=values.flag,
            help="also the base models of both halves of the calibration's pool",
        ),
        Option(
            name="k",
            value="EXPRESSION",
            takers=(PLAN, TRAIN, EXPORT, BUILD, VERIFY, TRACE, REKEY),
            help="only the claims whose id contains this, as in pytest",
        ),
        Option(
            name="m",
            value="EXPRESSION",
            takers=(BUILD, VERIFY, TRACE, REKEY),
            help="only the tests with these marks, as in pytest",
        ),
    ),
    "Variants of tasks": (
        Option(
            name="variants",
            value="N",
            takers=SUITES,
            type=values.count,
            otherwise="12 where claims beyond the core are run, else none",
            help="also try claims on N variants of their task, drawn by Hypothesis, the same ones each time",
        ),
        Option(
            name="variants-minutes",
            value="MINUTES",
            takers=SUITES,
            type=values.minutes,
            default="12",
            help="begin no training for a variant that would not end in this time, nor any after it in the order of the draw",
        ),
        Option(
            name="replay",
            value="ID",
            takers=(PYTEST,),
            type=values.names,
            repeatable=True,
            help="try the claims on this variant of an earlier run instead",
        ),
        Option(
            name="hypothesis-seed", value="SEED", takers=SUITES, foreign=True, otherwise="0", help="draw other variants"
        ),
    ),
    "How models are made": (
        Option(
            name="cache",
            value="DIR",
            takers=(*MAKERS, TRACE, REKEY, LS, SIZE, PRUNE, WHOLE),
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
    ),
    "What other machines would take": (
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
    ),
    "What a run reports": (
        Option(name="report", value="DIR", takers=(PYTEST,), help="write a report of this run below DIR"),
        Option(
            name="report",
            value="DIR",
            takers=(FIDELITY,),
            help="write fidelity-TABLE.json and fidelity-TABLE.md into DIR",
        ),
        Option(
            name="log",
            value="WHERE",
            takers=(PYTEST, TRAIN),
            type=values.loggers,
            repeatable=True,
            help="tell the curves of the models while they are made, and the verdicts at the end, to tensorboard:DIR, or to a "
            "logger of your own, file.py:attr or pkg.mod:attr",
        ),
        Option(
            name="quiet",
            takers=(PYTEST, TRAIN),
            type=values.flag,
            help="do not say how far the run is: no bar on a terminal, and no line a minute elsewhere",
        ),
        Option(
            name="expect",
            value="WHAT",
            takers=(PYTEST,),
            type=values.expectations,
            default="paper",
            help="what to expect of the method: paper, preserve, delete, or a TOML file of claims and verdicts",
        ),
        Option(
            name="baseline",
            value="DIR",
            takers=(PYTEST,),
            help="compare with that run (its folder or results.json) and fail on a regression; auto: with the run kept in "
            "baseline/ below the report directory, or keep this one if there is none",
        ),
        Option(
            name="baseline-save",
            takers=(PYTEST,),
            type=values.flag,
            needs="baseline=auto",
            help="keep this run in place of that one",
        ),
        Option(
            name="fail-on",
            value="WHAT",
            takers=(PYTEST, COMPARE),
            type=values.regressions,
            repeatable=True,
            default="verdict",
            needs="baseline",
            help="what counts as a regression, by more than rounding can do and never from one seed. verdict: a capability "
            "verdict, fine-tuned state or collateral damage changed, or a claim's status got worse; status: only the latter; "
            "margin:-0.05: a claim's margin fell by more than that; none",
        ),
    ),
    "Options of single commands": (
        Option(
            name="model",
            value="hf:PATH",
            takers=(CHECK_CAPABILITY,),
            otherwise="only what needs no model is checked",
            help="a folder with config.json, safetensors and a tokenizer, or a .gguf file",
        ),
        Option(
            name="data",
            value="WHAT",
            takers=(EXPORT,),
            type=values.streams,
            default="full",
            help="data to write: full (all streams), target or none",
        ),
        Option(name="to", value="DIR", takers=(BUILD,), otherwise="the package", help="where to write the models"),
        Option(
            name="from",
            value="DIR",
            takers=(VERIFY, TRACE, REKEY),
            otherwise="the package",
            help="where the models are",
        ),
        Option(
            name="bits",
            value="FILE",
            takers=(TRACE, REKEY),
            otherwise="trace: bits.json; rekey: none, enough where no base model's code changed",
            help="trace: where to write what the short trainings give; rekey: what `capbench zoo trace` wrote before the change",
        ),
        Option(
            name="table",
            value="TABLE",
            takers=(FIDELITY,),
            required=True,
            help="tracr: Table 3, compiled Counter and Max; pcfg-counting: Table 5, the Counter pretrained on a PCFG; stories: "
            "Table 1, models that tell stories",
        ),
        Option(
            name="cells",
            value="CELLS",
            takers=(FIDELITY,),
            repeatable=True,
            help="only these rows: task, task:lr or task:lr:c_tr (pcfg-counting: prior in place of task; stories: protocol or "
            "protocol:lr), several separated by commas; lr as in the paper or by name, as in counter:1e-2, "
            "max:medium:1,low:small or F+RR",
        ),
        Option(
            name="pretrain-steps",
            value="N",
            takers=(FIDELITY,),
            type=values.count,
            otherwise="the scale's; paper: 200000",
            help="pretrain for N steps; not for compiled models",
        ),
        Option(
            name="x",
            value="NAME=V1,V2",
            takers=(MAP,),
            required=True,
            help="the condition to the right, with its values: rate, times, decay, mixing, c_tr, noise, width, blocks, prior, "
            "lr, answers, by, then or taught, as in rate=0.1,1,10 (docs/deletion.md)",
        ),
        Option(
            name="y", value="NAME=V1,V2", takers=(MAP,), required=True, help="the condition upwards, as in times=1,3,10"
        ),
        Option(
            name="fixed",
            value="NAME=V,NAME=V",
            takers=(MAP,),
            default="prior=low,c_tr=1,lr=medium",
            help="the conditions that are the same everywhere; those of -x and -y are left out",
        ),
        Option(
            name="refine",
            value="N",
            takers=(MAP,),
            type=values.count,
            otherwise="not at all",
            help="look halfway between places that differ, so many times",
        ),
        Option(
            name="seeds",
            value="N",
            takers=(MAP,),
            type=values.count,
            otherwise="the scale's; small: 3",
            help="seeds of places at a boundary; the others have one",
        ),
        Option(name="report", value="DIR", takers=(MAP,), help="write map.json, map.md and map.svg into DIR"),
        Option(
            name="budget-minutes",
            value="MINUTES",
            takers=(FIDELITY, MAP),
            type=values.minutes,
            help="end within about this time: begin no training that would not end by then, stop those that do not, and show "
            "what there is. The same command goes on from there. It must be longer than the longest training",
        ),
        Option(
            name="seeds",
            value="SEEDS",
            takers=(CALIBRATE,),
            type=values.seeds,
            default="100,101,102",
            help="seeds of the pool's setting half",
        ),
        Option(
            name="plan", takers=(CALIBRATE,), type=values.flag, help="show the models that it needs, and make nothing"
        ),
        Option(name="values", takers=(CALIBRATE,), type=values.flag, help="also every tool's value on every model"),
        Option(
            name="tested",
            value="RUN",
            takers=(CALIBRATE,),
            excludes={"plan": "the models were made", "values": "the report of the run has them"},
            help="make nothing; put the tools' areas on the test half beside the thresholds, from a run of suites/calibration "
            "or of suites/architectures (its folder or results.json)",
        ),
        Option(
            name="all",
            takers=(COMPARE,),
            type=values.flag,
            help="also the rows that did not change (json always has them)",
        ),
        Option(
            name="capability",
            value="NAME|FILE",
            takers=(JUDGE,),
            type=values.one_capability,
            required=True,
            help="what the models are asked: a TOML file, or one of implant-skill, implant-facts, capitals and sentiment, with a "
            "seed as in capitals:1",
        ),
        Option(
            name="attacks",
            value="NAMES",
            takers=(JUDGE,),
            type=values.attack_names,
            otherwise="all",
            help="what is tried to bring the capability back, separated by commas: few-shot, paraphrase, lens, rounding, "
            "pruning, ablation, steering, retain, unrelated, reft",
        ),
        Option(
            name="format",
            value="FORMAT",
            takers=(COMPARE, "leaderboard", JUDGE),
            default="text",
            help="text, markdown or json",
        ),
        Option(
            name="output",
            value="FILE",
            takers=(COMPARE, "leaderboard", "priors", JUDGE, CALIBRATE),
            otherwise="the terminal",
            help="write the table to FILE; calibrate: write the thresholds to FILE",
        ),
        Option(
            name="html",
            value="FILE",
            takers=(COMPARE, "leaderboard", JUDGE),
            help="also write it to FILE as a page that needs no network",
        ),
        Option(
            name="older-than",
            value="TIME",
            takers=(PRUNE,),
            type=values.age,
            required=True,
            help="what was not used for this long, as in 30d, 12h or 0d",
        ),
        Option(name="dry-run", takers=(PRUNE,), type=values.flag, help="say what would be removed, and remove nothing"),
        Option(name="partial", takers=("verify",), type=values.flag, help="weights that are missing are no mistake"),
    ),
}


def options_of(taker: str) -> list[Option]:
    """The rows of a command, or of pytest, in the order of the table."""
    return [option for rows in GROUPS.values() for option in rows if taker in option.takers]
