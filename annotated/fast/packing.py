# Tangled from chapters/fast/packing.md: change it there, then run `make tangle`.
"""The Transformer on packed batches: padding exists inside attention only (Section 5.1)."""

from functools import singledispatch
from typing import Any

from torch import Tensor, nn

from annotated.data.batching import Batch
from annotated.fast.fused_loss import fused_loss
from annotated.fast.r_drop import r_drop_loss
from annotated.model.attention import MultiHeadAttention, View, causal_mask, padding_mask
from annotated.model.transformer import Transformer


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

    def unpack(self, x: Tensor) -> Tensor:
        """(N, ...) -> (B, T, ...), zero where there was padding"""
        places = x.new_zeros(self.shape.numel(), *x.shape[1:])  # (B T, ...)
        return places.index_copy_(0, self.index, x).unflatten(0, self.shape)


class PackedView(View):
    """How packed rows see a packed memory: as the padded batches that the two come from."""

    def __init__(self, rows: Packing, columns: Packing, mask: Tensor | None = None):
        """Queries stand where `rows` says, keys where `columns` does.

        mask: broadcastable to (B, H, T, S); by default it hides the padding of `columns`.
        """
        super().__init__(columns.mask if mask is None else mask)
        self.rows, self.columns = rows, columns

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """query (H, N, K), key (H, M, K), value (H, M, K') -> (H, N, K'), (B, H, T, S)."""
        query = self.rows.unpack(query.transpose(0, 1)).transpose(1, 2)  # (B, H, T, K)
        key = self.columns.unpack(key.transpose(0, 1)).transpose(1, 2)  # (B, H, S, K)
        value = self.columns.unpack(value.transpose(0, 1)).transpose(1, 2)  # (B, H, S, K')
        heads, weights = super().attend(layer, query, key, value)  # (B, H, T, K')
        return self.rows.pack(heads.transpose(1, 2)).transpose(0, 1), weights


@singledispatch
def decoder_outputs(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """The decoder's output for each token to predict (N, D), and that token (N,).

    Here on packed rows. A model that cannot read these registers its own way.
    """
    pad = model.config.pad
    rows, columns = Packing(batch.target_in, pad), Packing(batch.source, pad)
    itself, across = PackedView(columns, columns), PackedView(rows, columns)
    # the causal mask is enough for the target, whose padding stands at the end
    back = PackedView(rows, rows, causal_mask(rows.shape[1], rows.index.device))
    memory, _ = model.encode(columns.pack(batch.source), itself, columns.position)
    target = rows.pack(batch.target_in)  # (N,)
    x = model.decode(target, memory, across, mask=back, position=rows.position)
    return x, rows.pack(batch.target_out)  # (N, D), (N,)


class Objective(nn.Module):
    """A model and its loss as one function of a batch: what training differentiates."""

    def __init__(self, model: Transformer, smoothing: float = 0.1, r_drop: float = 0.0):
        super().__init__()
        self.model = model
        self.read = decoder_outputs.dispatch(type(model))  # once: compilers go on from here
        self.smoothing = smoothing
        self.r_drop = r_drop  # times the disagreement of two dropouts (Section 5.4)

    def forward(self, batch: Batch, scale: Tensor | None = None) -> Tensor:
        """The smoothed loss in nats, summed over all tokens of batch.target_out.

        With `r_drop` it is `r_drop_loss`, of two passes. A batch with nothing to predict has the
        loss 0, and gradients of 0 for all weights. scale (), if given, is what the caller will
        multiply the loss by: fp16 has to know it beforehand (Section 5.4).
        """
        if not self.r_drop:
            x, target = self.outputs(batch)
            return fused_loss(x, self.weight, target, self.smoothing, self.pad_id, scale=scale)
        x, target = self.outputs(Batch(*(ids.repeat(2, 1) for ids in batch)))  # (2 N, D), (2 N,)
        first, second = x.chunk(2)  # the same tokens, under another dropout
        target = target[: len(first)]
        return r_drop_loss(
            first, second, self.weight, target, self.smoothing, self.r_drop, self.pad_id
        )

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What `decoder_outputs` makes of the batch: (N, D), (N,)"""
        return self.read(self.model, batch)

    @property
    def weight(self) -> Tensor:
        """The shared embedding's matrix (V, D)."""
        return self.model.embedding.weight

    @property
    def pad_id(self) -> int:
        """The id that fills a batch up."""
        return self.model.config.pad
