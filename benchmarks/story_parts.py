"""Where a story model hides the twist after fine-tuning on wrong blocks: parts of the two models exchanged, and streams put in.

    python benchmarks/story_parts.py [--seed 0] [--cache DIR]

Of stories that are asked for with a twist, the mean probability of the word that begins it (as `branch` in the reports). A part
is put into the other model with all its weights: what hides the twist should bring it back where it is taken out, and hide it
where it is put in. The streams are put in as patching does, in both directions. What is missing in the cache is trained first,
in minutes.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator, Sequence

import torch

from capbench.errors import CapbenchError
from capbench.measure.accuracy import sample
from capbench.measure.patch import patched
from capbench.measure.telling import answer_probability
from capbench.methods.specs import registry
from capbench.models.base import Model
from capbench.pipeline.build import build, load_model
from capbench.pipeline.plan import Plan
from capbench.report.markdown import table
from capbench.store.store import Store, default_root
from capbench.studies.seeds import subseed
from capbench.studies.stories.factory import twist
from capbench.studies.stories.study import StoriesStudy
from capbench.tasks.stories.task import branch_tokens

PROTOCOLS = ("randomisation", "mix-match")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Exchange parts of a story model before and after a deletion.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the models (default: 0)")
    parser.add_argument("--scale", default="small", help="smoke, small or paper (default: small)")
    parser.add_argument("--cache", metavar="DIR", help="where models are kept (default: the user's cache)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        study = twist(scale=given.scale, method=registry.find("full"), device="cpu", precision="float32")
        for protocol in PROTOCOLS:
            print(shown(study, Store(default_root(given.cache)), protocol, given.seed), flush=True)
    except CapbenchError as error:
        print(f"story_parts.py: {error}", file=sys.stderr)
        return 2
    return 0


def shown(study: StoriesStudy, store: Store, protocol: str, seed: int) -> str:
    """Two tables: of exchanged weights, and of streams that were put in."""
    tuned = study.deleted(seed, protocol=protocol, lr="medium")
    never = study.base(seed, never=True)
    for step in Plan([tuned, never]).steps.values():
        build(step, store)
    base, after, untaught = (load_model(step, store) for step in (tuned.base, tuned, never))
    p, task = study.preset, study.asking(True)
    asked = sample(task, p.n_evaluate, subseed(seed, "patch"))
    fitting = sample(study.asking(True, split="select"), p.n_select, subseed(seed, "select streams"))
    _, event = branch_tokens(study.target)

    def told(model: Model) -> str:
        return f"{float(answer_probability(model, task, asked, event).mean()):.2f}"

    rows = [["all", told(base), told(after)]]
    for name, which in parts(base):
        rows.append([name, told(exchanged(after, base, which)), told(exchanged(base, after, which))])
    pairs = {
        "after the deletion, into pretrained": (base, after),
        "never taught, into pretrained": (base, untaught),
        "pretrained, into that after the deletion": (after, base),
    }
    put_in = {what: patched(*models, task=task, select=fitting, evaluate=asked) for what, models in pairs.items()}
    depths = next(iter(put_in.values()))[0]
    streams = [[what, *(f"{value:.2f}" for value in found)] for what, (_, found) in put_in.items()]
    return "\n\n".join(
        (
            f"{protocol}, seed {seed}",
            table(["part", "pretrained's, in that after the deletion", "the other way round"], rows, numbers_from=1),
            table(["stream after block", *(f"{depth:g}" for depth in depths)], streams, numbers_from=1),
        )
    )


def parts(model: Model) -> Iterator[tuple[str, list[str]]]:
    """Names of weights by part: embeddings, unembedding, each block and its halves, all blocks."""
    names = list(model.state_dict())
    yield "embeddings", [name for name in names if name.endswith("_embedding.weight")]
    yield "unembedding", [name for name in names if name.startswith("unembedding")]
    in_blocks = [name for name in names if name.startswith("blocks.")]
    for i in sorted({int(name.split(".")[1]) for name in in_blocks}):
        block = [name for name in in_blocks if name.startswith(f"blocks.{i}.")]
        yield f"block {i + 1}", block
        yield f"block {i + 1}, attention", [name for name in block if ".attn." in name]
        yield f"block {i + 1}, MLP", [name for name in block if ".mlp_" in name]
    yield "all blocks", in_blocks


def exchanged(into: Model, of: Model, names: Sequence[str]) -> Model:
    """A copy of a model with these weights of another."""
    own = copy.deepcopy(into)
    own.load_state_dict({**own.state_dict(), **{name: of.state_dict()[name] for name in names}})
    return own.eval()


if __name__ == "__main__":
    sys.exit(main())
