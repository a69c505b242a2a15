"""Options: what is tested: methods, models, architectures, scale, seeds, and which claims."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option
from capbench.session.options.takers import (
    BUILD,
    CHECK,
    CHECK_DATA,
    EXPORT,
    FIDELITY,
    MAKERS,
    MAP,
    PLAN,
    REKEY,
    SUITES,
    TRACE,
    TRAIN,
    VERIFY,
)

_METHOD = (
    "fine-tuning method: a built-in name, the name of an entry point capbench.methods{hook}, pkg.mod:attr, file.py:attr or "
    "peft:adapter_config.json"
)
_SEEDS = "the scale's; small: 3"
_VARIANT_TASKS = "variants have tasks of their own"

ROWS = (
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
        takers=(*SUITES, EXPORT),
        type=values.pretrained,
        otherwise="claims about language models are skipped",
        help="the language model for the claims about such models: a folder with config.json, safetensors and a tokenizer, "
        "or a .gguf file",
    ),
    Option(
        name="capability",
        value="NAME|FILE",
        takers=(*SUITES, EXPORT),
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
        name="data",
        value="FOLDER",
        takers=SUITES,
        type=values.own_stories,
        otherwise="stories are made here",
        help="try the claims about stories on your own copy of TinyStories-Instruct, or stories in its format: a folder with "
        "TinyStories-Instruct-train.txt and TinyStories-Instruct-valid.txt (docs/stories.md)",
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
        takers=(*MAKERS, CHECK_DATA),
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
    Option(name="extended", takers=(*SUITES, EXPORT, BUILD), type=values.flag, help="also the claims beyond the core"),
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
)
