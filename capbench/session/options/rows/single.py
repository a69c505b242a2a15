"""Options: single commands."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import Option
from capbench.session.options.takers import (
    BUILD,
    CALIBRATE,
    CHECK_CAPABILITY,
    COMPARE,
    EXPORT,
    FIDELITY,
    JUDGE,
    MAP,
    PRUNE,
    REKEY,
    TRACE,
    VERIFY,
)

ROWS = (
    Option(
        name="model",
        value="hf:PATH",
        takers=(CHECK_CAPABILITY,),
        otherwise="only what needs no model is checked",
        help="a folder with config.json, safetensors and a tokenizer, or a .gguf file",
    ),
    Option(
        name="streams",
        value="WHAT",
        takers=(EXPORT,),
        type=values.streams,
        default="full",
        help="data to write: full (all streams of the task), target or none",
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
        default="200,201,202",
        help="seeds of the pool's setting half; by default those that set the thresholds in force, which seeds 300 to 302 "
        "tested. Seeds that were looked at may set new thresholds, and test none again",
    ),
    Option(name="plan", takers=(CALIBRATE,), type=values.flag, help="show the models that it needs, and make nothing"),
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
)
