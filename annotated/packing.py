# Tangled from chapters/5-1-packing.md: change it there, then run `make tangle`.
"""The Transformer on packed batches: padding exists inside attention only (Section 5.1)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.attention import MultiHeadAttention, attention, causal_mask, padding_mask
from annotated.batching import Batch
from annotated.loss import fused_loss, r_drop_loss
from annotated.transformer import DecoderLayer, EncoderLayer, Transformer


class Packing:
    """Where the N tokens of a padded batch stand: the way into packed rows, and back."""

    def __init__(self, tokens: Tensor, pad: int = 0):
        """tokens (B, T) of ids; those that are not `pad` get a row each, sentence by sentence."""
        self.shape = tokens.shape
        self.mask = padding_mask(tokens, pad)  # (B, 1, 1, T)
        self.index = (tokens != pad).flatten().nonzero().squeeze(1)  # (N,) in the B T places
        self.position = self.index % tokens.size(1)  # (N,) in its own sentence

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...), without the padding"""
        return x.flatten(0, 1).index_select(0, self.index)

    def pad(self, x: Tensor) -> Tensor:
        """(N, ...) -> (B, T, ...), zero where there was padding"""
        places = x.new_zeros(self.shape.numel(), *x.shape[1:])  # (B T, ...)
        return places.index_copy_(0, self.index, x).unflatten(0, self.shape)


def project(x: Tensor, *maps: nn.Linear) -> tuple[Tensor, ...]:
    """Several linear maps of one x (N, D), in one product: a tensor (N, H K) for each."""
    weight = torch.cat([one.weight for one in maps])
    bias = None if maps[0].bias is None else torch.cat([one.bias for one in maps])
    return F.linear(x, weight, bias).split([one.out_features for one in maps], -1)


def look(
    heads: MultiHeadAttention,
    x: Tensor,
    rows: Packing,
    memory: Tensor,
    columns: Packing,
    mask: Tensor,
) -> Tensor:
    """Multi-head attention of packed x (N, D) at packed memory (M, D) -> (N, D).

    rows and columns say where the two stand; mask is broadcastable to (B, H, T, S).
    """
    if x is memory:
        query, key, value = project(x, heads.query, heads.key, heads.value)  # (N, H K) each
    else:
        query = heads.query(x)  # (N, H K)
        key, value = project(memory, heads.key, heads.value)  # (M, H K), (M, H K')
    query = heads.split(rows.pad(query))  # (B, H, T, K)
    key, value = heads.split(columns.pad(key)), heads.split(columns.pad(value))  # (B, H, S, K)
    found, _ = attention(query, key, value, mask, heads.dropout)  # (B, H, T, K')
    return heads.output(rows.pack(heads.merge(found)))  # (N, D)


def embed(model: Transformer, tokens: Tensor, rows: Packing) -> Tensor:
    """tokens (B, T) of ids -> packed vectors (N, D), each with its position."""
    x = model.embedding(rows.pack(tokens))  # (N, D)
    table = model.positions(x.new_zeros(1, tokens.size(1), x.size(1)))[0]  # (T, D)
    return model.dropout(x + table[rows.position])


def encoder_layer(layer: EncoderLayer, x: Tensor, rows: Packing) -> Tensor:
    """`EncoderLayer.forward` on packed rows: x (M, D) -> (M, D)"""
    x = layer.residuals[0](x, lambda x: look(layer.self_attention, x, rows, x, rows, rows.mask))
    return layer.residuals[1](x, layer.feed_forward)


def decoder_layer(
    layer: DecoderLayer, x: Tensor, rows: Packing, memory: Tensor, columns: Packing, causal: Tensor
) -> Tensor:
    """`DecoderLayer.forward` on packed rows: x (N, D), memory (M, D), causal (T, T) -> (N, D)"""
    return layer.connect(
        x,
        lambda x: look(layer.self_attention, x, rows, x, rows, causal),
        lambda x: look(layer.cross_attention, x, rows, memory, columns, columns.mask),
    )


def encode(model: Transformer, tokens: Tensor, rows: Packing) -> Tensor:
    """The encoder on packed rows: tokens (B, S) of ids -> memory (M, D)"""
    layers: list[Any] = list(model.encoder.layers)  # of EncoderLayer
    x = embed(model, tokens, rows)
    for layer in layers:
        x = encoder_layer(layer, x, rows)
    return model.encoder.norm(x)


def decode(
    model: Transformer, tokens: Tensor, rows: Packing, memory: Tensor, columns: Packing
) -> Tensor:
    """The decoder on packed rows: tokens (B, T) of ids, memory (M, D) -> (N, D)"""
    layers: list[Any] = list(model.decoder.layers)  # of DecoderLayer
    causal = causal_mask(tokens.size(1), tokens.device)  # padding stands at the end: unseen
    x = embed(model, tokens, rows)
    for layer in layers:
        x = decoder_layer(layer, x, rows, memory, columns, causal)
    return model.decoder.norm(x)


class Objective(nn.Module):
    """A model and its loss as one function of a batch: what training differentiates."""

    def __init__(self, model: Transformer, smoothing: float = 0.1, r_drop: float = 0.0):
        super().__init__()
        self.model = model
        self.smoothing = smoothing
        self.r_drop = r_drop  # times the disagreement of two dropouts (Section 5.4)

    def forward(self, batch: Batch) -> Tensor:
        """The smoothed loss in nats, summed over all tokens of batch.target_out.

        With `r_drop` it is `r_drop_loss`, of two passes. A batch with nothing to predict has the
        loss 0, and gradients of 0 for all weights.
        """
        if not self.r_drop:
            x, target = self.outputs(batch)
            return fused_loss(x, self.weight, target, self.smoothing, self.pad)
        x, target = self.outputs(Batch(*(ids.repeat(2, 1) for ids in batch)))  # (2 N, D), (2 N,)
        first, second = x.chunk(2)  # the same tokens, under another dropout
        target = target[: len(first)]
        return r_drop_loss(
            first, second, self.weight, target, self.smoothing, self.r_drop, self.pad
        )

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The decoder's output for each token to predict (N, D), and that token (N,)."""
        rows, columns = Packing(batch.target_in, self.pad), Packing(batch.source, self.pad)
        memory = encode(self.model, batch.source, columns)  # (M, D)
        x = decode(self.model, batch.target_in, rows, memory, columns)  # (N, D)
        return x, rows.pack(batch.target_out)

    @property
    def weight(self) -> Tensor:
        """The shared embedding's matrix (V, D)."""
        return self.model.embedding.weight

    @property
    def pad(self) -> int:
        """The id that fills a batch up."""
        return self.model.config.pad
