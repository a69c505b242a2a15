"""Did the smoke run decide what it must? Reads the newest report; exits with 1 and says what is missing."""

import sys
from pathlib import Path

from capbench.report import load
from capbench.results import Status

# The strongest effects: these must lie on the claim's side even for one small, briefly trained model, on any machine. One seed
# may leave a claim inconclusive, as its interval rests on the prior alone. The others are reported, but one seed is too few to
# fail a build on them. relevance.amplification is one: on another processor O_PT was only .15 better under the high prior.
MUST_HOLD = (
    "base.validity[prior=low]",
    "base.validity[prior=never]",
    "data.balance.counter",
    "relevance.shortcut",
    "revival.efficiency[prior=low,c_tr=1,lr=small]",
    "wrapper.probing[prior=low,c_tr=1",
    "randft.revival[prior=low,c_tr=1",
    "verdict[prior=low,c_tr=1,lr=small]",
    "verdict[prior=high,c_tr=0.8,lr=small]",
    "tracr.shortcut",
    "tracr.attention.stays",
)
# With one seed and fewer steps than the paper's these may find nothing lost, or no revival in time, on another processor.
# The high prior's models are pretrained too briefly here for all that they are taught (the rarest operand, and b under T_NJ).
MAY_BE_INVALID = ("tracr.pruning", "tracr.circuit", "tracr.revival", "jailbreak", "verdict[prior=high,c_tr=0.5")

HOLDS = (Status.SUPPORTED, Status.INCONCLUSIVE)

(folder,) = Path(sys.argv[1]).iterdir()
results = load(folder)
wrong = [
    f"{r.id}: {r.verdict.status}: {r.verdict.reason}"
    for r in results.records
    if (r.verdict.status is Status.INVALID and not r.id.startswith(MAY_BE_INVALID))
    or (r.id.startswith(MUST_HOLD) and not (r.verdict.status in HOLDS and (r.verdict.margin or 0) > 0))
]
for name in ("results.csv", "summary.md", "report.html", "junit.xml"):
    if not (folder / name).is_file():
        wrong.append(f"{name} was not written")
print(f"smoke: {len(results.records)} claims decided, {len(wrong)} problems", *wrong, sep="\n  ")
sys.exit(bool(wrong))
