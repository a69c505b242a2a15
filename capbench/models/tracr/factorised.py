"""The fast path to a compiled model's answer, without forming the residual stream.

A block of a compiled model writes far fewer features (attention values, MLP units) than the residual stream has dimensions. So
the stream is represented by its sources: what was written to it. Each reader (a block's query, key, value and MLP weights, or the
unembedding) is multiplied with the sources once, which gives a small matrix of what it reads from each. Token and position
are looked up in a table. The last block queries at one position only. The same function as the plain forward pass, in less than
half the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from capbench.models.attention import future_mask


class Shape(NamedTuple):
    """A model's shape. A block writes `value` + `unit` features: its heads' outputs, concatenated, and its MLP's hidden units."""

    vocab: int
    n_blocks: int
    n_heads: int
    value: int
    unit: int
    causal: bool

    @property
    def features(self) -> int:
        return self.value + self.unit

    @property
    def reader(self) -> tuple[int, int, int, int]:
        """Widths of query, key, value and MLP, in this order."""
        return self.value, self.value, self.value, self.unit

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.value // self.n_heads)

    def sources_before_mlp(self, block: int, t: int) -> int:
        """The number of sources when a block's MLP reads the stream, for strings of length t."""
        return self.vocab + t + 2 * self.n_blocks + block * self.features + self.value


def answer_logits(
    tokens: Int[Tensor, "batch pos"],
    position: int,
    shape: Shape,
    sources: Float[Tensor, "source d_model"],
    unembedding: Float[Tensor, "outputs d_model"],
    readers: Sequence[Float[Tensor, "reader d_model"]],
    bias: Sequence[Float[Tensor, " reader"]],
) -> Float[Tensor, "batch outputs"]:
    """Logits at one position.

    sources: everything written to the stream, in this order: every token; every position (of these strings); two constants per
    block, the biases of its attention and its MLP; every block's features (a row each).
    readers: per block, the stacked weights of query, key, value and MLP; bias: their biases.
    """
    logits: Tensor = _Answer.apply(tokens, position, shape, sources, unembedding, *readers, *bias)  # type: ignore[no-untyped-call]
    return logits


class _Seen(NamedTuple):
    """What one block's readers, or the unembedding, read from each source (or gradients thereof); views of one matrix."""

    token: Tensor
    position: Tensor
    constant: Tensor
    feature: Tensor


class _Answer(torch.autograd.Function):
    """Hand-written forward and backward: autograd's bookkeeping would cost more than the arithmetic.

    Names: d_x is the gradient of x. One row per string and position, [batch * pos, ...], unless noted otherwise.
    """

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, position: int, shape: Shape, sources: Tensor, unembedding: Tensor, *blocks: Tensor
    ) -> Tensor:
        b, t = tokens.shape
        last, value = shape.n_blocks - 1, shape.value
        readers, bias = blocks[: last + 1], blocks[last + 1 :]
        # A block's readers read what was written before; its MLP also reads the block's own attention features.
        seen = [sources[: shape.sources_before_mlp(i, t)].mm(weights.T) for i, weights in enumerate(readers)]
        place = torch.arange(t, device=tokens.device) + tokens * t  # rows of the tables over token and position
        features = sources.new_empty(b * t, last * shape.features)
        parts = features.split_with_sizes((value, shape.unit) * last, 1)
        future = future_mask(t, tokens.device) if shape.causal else None
        kept: list[Tensor] = []

        for i in range(last):
            start = i * shape.features
            earlier, own = _features(seen[i], start, shape)
            read = _table(_rows(seen[i], t, shape), bias[i], i, shape).index_select(0, place.view(-1))
            if i:
                read.addmm_(features[:, :start], earlier)
            *qkv, hidden = read.split_with_sizes(shape.reader, 1)
            q, k, v = (_split_heads(part, b, t, shape) for part in qkv)
            scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=shape.scale)
            if future is not None:
                scores.masked_fill_(future, -torch.inf)
            attn = torch.softmax(scores, -1)
            found, units = parts[2 * i : 2 * i + 2]
            found.copy_(_merge_heads(torch.bmm(attn, v), b, t, shape))
            hidden.addmm_(found, own)
            torch.clamp_min(hidden, 0, out=units)
            kept += [read, attn]

        # The last block queries at one position only. So its query is multiplied back onto what keys are made of, the rows of
        # `memory`, and attention gathers those: keys and values are never formed.
        start = last * shape.features
        earlier, own = _features(seen[last], start, shape)
        in_strings = features.view(b, t, -1)
        here = in_strings[:, position]
        memory = torch.cat([_table(_rows(seen[last], t, shape), bias[last], last, shape), earlier])
        n_table = len(memory) - start
        query, keys, values, _ = memory.split_with_sizes(shape.reader, 1)
        read = memory.index_select(0, place[:, position]).addmm_(here, earlier)
        query, _, _, hidden = read.split_with_sizes(shape.reader, 1)
        probe = torch.bmm(_heads_first(query, shape), _heads_first(keys, shape).mT).mul_(shape.scale).transpose(0, 1)
        at = place[:, None].expand(b, shape.n_heads, t)
        by_place, by_feature = probe.split_with_sizes((n_table, start), 2)  # [batch, head, memory]
        scores = torch.baddbmm(by_place.gather(2, at), by_feature, in_strings.mT)
        if shape.causal:
            scores[..., position + 1 :] = -torch.inf
        attn = torch.softmax(scores, -1)  # [batch, head, pos]
        gathered = _gather(attn, at, in_strings, n_table)
        found = _heads_last(torch.bmm(gathered.transpose(0, 1), _heads_first(values, shape)))
        hidden.addmm_(found, own)
        written = torch.cat([here, found, hidden.clamp_min(0)], 1)

        rows = _rows(sources.mm(unembedding.T), t, shape)
        always = rows.position[position] + rows.constant.sum(0)
        logits = torch.addmm(rows.token[tokens[:, position]] + always, written, rows.feature)
        ctx.save_for_backward(
            tokens,
            sources,
            unembedding,
            place,
            features,
            memory,
            read,
            probe,
            attn,
            gathered,
            written,
            *kept,
            *seen,
            *readers,
        )
        ctx.position, ctx.shape = position, shape
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor) -> tuple[Tensor | None, ...]:
        position, shape = ctx.position, ctx.shape
        last, value = shape.n_blocks - 1, shape.value
        tokens, sources, unembedding, place, features, memory, read, probe, attn, gathered, written, *rest = (
            ctx.saved_tensors
        )
        kept, seen, readers = rest[: 2 * last], rest[2 * last : 3 * last + 1], rest[3 * last + 1 :]
        b, t = tokens.shape
        d_readers: list[Tensor] = []
        d_bias: list[Tensor] = []

        def finish(block: int, d_table: Tensor, d_seen: Tensor) -> None:
            """From what the readers see to what is seen, and to the readers."""
            d_bias.insert(0, _table_backward(d_table, _rows(d_seen, t, shape), block, shape))
            d_readers.insert(0, d_seen.T.mm(sources[: len(d_seen)]))
            d_sources[: len(d_seen)].addmm_(d_seen, readers[block])

        # The unembedding.
        d_seen = sources.new_zeros(len(sources), len(unembedding))
        d_rows = _rows(d_seen, t, shape)
        d_sum = d_logits.sum(0)
        d_rows.token.index_add_(0, tokens[:, position], d_logits)
        d_rows.position[position] = d_sum
        d_rows.constant[:] = d_sum
        torch.mm(written.T, d_logits, out=d_rows.feature)
        d_sources = d_seen.mm(unembedding)
        d_unembedding = d_seen.T.mm(sources) if ctx.needs_input_grad[4] else None
        d_written = d_logits.mm(unembedding).mm(sources[-written.shape[1] :].T)
        d_here, d_found, d_hidden = d_written.split_with_sizes((last * shape.features, value, shape.unit), 1)

        # The last block.
        start = last * shape.features
        earlier, own = _features(seen[last], start, shape)
        in_strings = features.view(b, t, -1)
        here, found, _ = written.split_with_sizes((start, value, shape.unit), 1)
        n_table = len(memory) - start
        at = place[:, None].expand(b, shape.n_heads, t)
        _, keys, values, _ = memory.split_with_sizes(shape.reader, 1)
        query, _, _, hidden = read.split_with_sizes(shape.reader, 1)
        d_memory, d_read, d_seen = torch.zeros_like(memory), torch.zeros_like(read), torch.zeros_like(seen[last])
        d_earlier, d_own = _features(d_seen, start, shape)
        _, d_keys, d_values, _ = d_memory.split_with_sizes(shape.reader, 1)
        d_query, _, _, d_hidden_in = d_read.split_with_sizes(shape.reader, 1)
        _through_relu(d_hidden, hidden, out=d_hidden_in)
        d_own.copy_(found.T.mm(d_hidden_in))
        d_found = _heads_first(torch.addmm(d_found, d_hidden_in, own.T), shape)
        d_gathered = torch.bmm(d_found, _heads_first(values, shape).mT).transpose(0, 1)
        d_values.copy_(_heads_last(torch.bmm(gathered.permute(1, 2, 0), d_found)))
        by_place, by_feature = d_gathered.split_with_sizes((n_table, start), 2)
        d_attn = torch.baddbmm(by_place.gather(2, at), by_feature, in_strings.mT)
        d_scores = torch._softmax_backward_data(d_attn, attn, -1, attn.dtype)
        d_probe = _gather(d_scores, at, in_strings, n_table).mul_(shape.scale).transpose(0, 1)
        d_query.copy_(_heads_last(torch.bmm(d_probe, _heads_first(keys, shape))))
        d_keys.copy_(_heads_last(torch.bmm(d_probe.mT, _heads_first(query, shape))))
        d_memory.index_add_(0, place[:, position], d_read)
        d_memory[n_table:].addmm_(here.T, d_read)
        d_earlier.copy_(d_memory[n_table:])
        finish(last, d_memory[:n_table], d_seen)
        # Features were used as keys and as values: one product for both gradients.
        asked = torch.cat([probe[..., n_table:], by_feature], 1)
        d_features = torch.bmm(torch.cat([d_scores, attn], 1).mT, asked)
        d_features[:, position] += torch.addmm(d_here, d_read, earlier.T)
        d_features = d_features.view(b * t, -1)

        # The earlier blocks.
        parts, d_parts = (x.split_with_sizes((value, shape.unit) * last, 1) for x in (features, d_features))
        for i in reversed(range(last)):
            read, attn = kept[2 * i : 2 * i + 2]
            start = i * shape.features
            earlier, own = _features(seen[i], start, shape)
            (found, _), (d_found, d_units) = parts[2 * i : 2 * i + 2], d_parts[2 * i : 2 * i + 2]
            d_read, d_seen = torch.empty_like(read), torch.zeros_like(seen[i])
            d_earlier, d_own = _features(d_seen, start, shape)
            *qkv, hidden = read.split_with_sizes(shape.reader, 1)
            *d_qkv, d_hidden = d_read.split_with_sizes(shape.reader, 1)
            _through_relu(d_units, hidden, out=d_hidden)
            d_own.copy_(found.T.mm(d_hidden))
            d_heads = _split_heads(d_found.addmm_(d_hidden, own.T), b, t, shape)
            q, k, v = (_split_heads(part, b, t, shape) for part in qkv)
            d_scores = torch._softmax_backward_data(torch.bmm(d_heads, v.mT), attn, -1, attn.dtype).mul_(shape.scale)
            by_head = (torch.bmm(d_scores, k), torch.bmm(d_scores.mT, q), torch.bmm(attn.mT, d_heads))
            for d_part, d_merged in zip(by_head, d_qkv, strict=True):
                d_merged.copy_(_merge_heads(d_part, b, t, shape))
            if i:
                d_earlier.copy_(d_read.T.mm(features[:, :start]).T)
                d_features[:, :start].addmm_(d_read, earlier.T)
            d_table = read.new_zeros(shape.vocab * t, read.shape[1]).index_add_(0, place.view(-1), d_read)
            finish(i, d_table, d_seen)
        return (None, None, None, d_sources, d_unembedding, *d_readers, *d_bias)


def _rows(matrix: Tensor, t: int, shape: Shape) -> _Seen:
    ends = (shape.vocab, shape.vocab + t, shape.vocab + t + 2 * shape.n_blocks)
    return _Seen(*matrix.tensor_split(ends))


def _features(matrix: Tensor, start: int, shape: Shape) -> tuple[Tensor, Tensor]:
    """What a block's readers read from the features of earlier blocks, and what its MLP reads from its own attention."""
    return matrix[-shape.value - start : -shape.value], matrix[-shape.value :, 3 * shape.value :]


def _table(seen: _Seen, bias: Tensor, block: int, shape: Shape) -> Float[Tensor, "place reader"]:
    """What a block's readers read at a token and position, independent of the rest. The MLP also reads its attention's bias."""
    constant = bias + seen.constant[: 2 * block].sum(0)
    constant[3 * shape.value :] += seen.constant[2 * block, 3 * shape.value :]
    return (seen.token[:, None] + (seen.position + constant)).flatten(0, 1)


def _table_backward(d_table: Tensor, d_rows: _Seen, block: int, shape: Shape) -> Float[Tensor, " reader"]:
    """Writes into d_rows; returns the gradient of the bias."""
    d_table = d_table.view(shape.vocab, -1, d_table.shape[1])
    torch.sum(d_table, 1, out=d_rows.token)
    torch.sum(d_table, 0, out=d_rows.position)
    d_bias = d_rows.token.sum(0)
    d_rows.constant[: 2 * block] = d_bias
    d_rows.constant[2 * block, 3 * shape.value :] = d_bias[3 * shape.value :]
    return d_bias


def _gather(weights: Tensor, at: Tensor, in_strings: Tensor, n_table: int) -> Float[Tensor, "batch head memory"]:
    """The weight of each row of the last block's memory in a weighted sum over positions."""
    table = weights.new_zeros(*weights.shape[:2], n_table).scatter_add_(2, at, weights)
    return torch.cat([table, torch.bmm(weights, in_strings)], 2)


def _through_relu(d_out: Tensor, x: Tensor, *, out: Tensor) -> None:
    torch.ops.aten.threshold_backward.grad_input(d_out, x, 0, grad_input=out)


def _split_heads(x: Tensor, b: int, t: int, shape: Shape) -> Float[Tensor, "batch*head pos key"]:
    if shape.n_heads == 1:
        return x.view(b, t, -1)  # no copy
    return x.reshape(b, t, shape.n_heads, -1).transpose(1, 2).reshape(b * shape.n_heads, t, -1)


def _merge_heads(x: Tensor, b: int, t: int, shape: Shape) -> Float[Tensor, "batch*pos value"]:
    if shape.n_heads == 1:
        return x.reshape(b * t, -1)
    return x.view(b, shape.n_heads, t, -1).transpose(1, 2).reshape(b * t, -1)


def _heads_first(x: Float[Tensor, "row value"], shape: Shape) -> Float[Tensor, "head row key"]:
    return x.view(len(x), shape.n_heads, -1).transpose(0, 1)


def _heads_last(x: Float[Tensor, "head row key"]) -> Float[Tensor, "row value"]:
    return x.transpose(0, 1).flatten(1)
