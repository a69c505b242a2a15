"""The README.txt of an exported folder: what is in it, and what to do."""

from __future__ import annotations


def guide(scale: str, *, language: bool = False) -> str:
    """The text, for a folder of this scale. language: of language models."""
    return (_LANGUAGE if language else _GUIDE).replace("SCALE", scale)


_GUIDE = """\
Base models and data of capbench, to be fine-tuned elsewhere and judged afterwards.

What to do, for every entry in manifest.json ("entries"):

1. Load the weights of its file "base" (safetensors). "architecture" says how to build the model.
2. Train them with your method on its file data/... ("data": "target"), as "train" says.
3. Save all weights, under the names, shapes and dtypes of the base file, with safetensors.torch.save_file as its file
   "tuned" (tuned/<id>.safetensors). Merge adapters before you save. Instead of the file
   there may be shards with an index, tuned/<id>.safetensors.index.json, or a folder tuned/<id>/ with model.safetensors or
   model.safetensors.index.json.

   capbench verify DIR                                what is missing or wrong (--partial: missing files are allowed)
   pytest suites/ --capbench-checkpoints=DIR --capbench-scale=SCALE
                                                      judges them; use the cache that the folder was exported from

Change only tuned/. Entries whose weights are missing make only their own claims invalid.

Data. Every file holds `tokens` and `targets`, [strings, positions], small integers (convert to 64 bits before an embedding).
Step i of the training sees rows i * batch_size to (i + 1) * batch_size, so a file holds exactly "steps" batches in order.
targets[n, t] is the token to predict from tokens[n, : t + 1]; -1 ("ignore") carries no loss. The answer is predicted at
position "answer_pos" of every string. Streams: target is the fine-tuning task; retain is the pretraining distribution, answers
only; forget holds prompts of the old task with their right answers; others is everything else that pretraining taught. A file may
serve several entries. (An export with data "target" or "none" omits some or all of them.)

What full fine-tuning does here: AdamW (weight decay on matrices only) or SGD with momentum ("optimizer"); gradients clipped to a
norm of "grad_clip"; the rate rises linearly over the first `warmup` * steps to "lr" and falls as a cosine to final_lr * lr; loss:
the mean cross-entropy of all targets but the answer's, plus "answer_weight" times that of the answer (only the answer's mean
cross-entropy, unweighted, where a batch has no other targets).

Architecture "gpt": token_embedding + position_embedding; per block x += attn.out(attention(attn.qkv(norm1(x)))), causal, qkv in
this order, each split into n_heads; x += mlp_out(activation(mlp_in(norm2(x)))), the MLP being 4 * d_model wide; then norm and
unembedding (no bias). norm*: LayerNorm. gelu is exact (erf).
Architecture "tracr": a compiled program; blocks of attention (query, key, value, out; scores / sqrt(key size)) and a ReLU MLP, no
norms; its targets are indices into "outputs".
With capbench installed, capbench.models.gpt.Gpt(GptConfig(...)) and capbench.models.tracr.TracrTransformer(
TracrConfig.from_json(...)) build both from "architecture" (without its `kind`).
"""

_LANGUAGE = """\
Language models and data of capbench, to be fine-tuned elsewhere and judged afterwards.

What to do, for every entry in manifest.json ("entries"), and for all alike: an entry may be the twin of another, the model that
never had the capability, which goes through the same method.

1. Load its model: AutoModelForCausalLM.from_pretrained("DIR/base/<name>"), the folder of its file "base", which has the
   tokenizer, too.
2. Train it with your method on its files in data/ ("data"): target is what is to be learned; forget the prompts of the
   capability with their answers; retain and others are what is to stay as it was. "train" is what full fine-tuning does here:
   AdamW, warm-up and cosine, "steps" batches of "batch_size" strings, drawn in rounds of all. A method of your own may do
   otherwise.
3. model.save_pretrained("DIR/tuned/<id>/") ("tuned"): all weights, in float32, bfloat16 or float16, or an adapter of PEFT.

   capbench verify DIR                                what is missing or wrong (--partial: missing folders are allowed)
   pytest suites/language --capbench-checkpoints=DIR --capbench-scale=SCALE --capbench-model=hf:MODEL
                                                      judges them; MODEL and --capbench-capability as in the export, and the
                                                      cache that the folder was exported from

Change only tuned/. Entries whose weights are missing make only their own claims invalid.

Data. A line is {"prompt", "completion", "input_ids", "labels"} or, of plain text, {"text", "input_ids", "labels"}; labels of
-100 carry no loss. If the choices of an answer begin alike, that beginning is in the prompt.
"""
