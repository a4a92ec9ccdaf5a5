# Tangled from chapters/model/attention.md: change it there, then run `make tangle`.
"""Scaled dot-product attention and multi-head attention (Section 3.2)."""

import math

import torch
from torch import Tensor, nn


def padding_mask(tokens: Tensor, pad: int = 0) -> Tensor:
    """Where a source may be looked at: everywhere but at padding.

    tokens (B, S), integer ids -> (B, 1, 1, S) boolean, True at what is no pad.
    """
    return (tokens != pad)[:, None, None, :]


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    """Where a target may look: at itself and at what stands before (Section 3.2.3).

    Returns (T, T) boolean; row t is True in columns 0 to t.
    """
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension, of the places that the mask allows.

    scores (..., T, S), mask boolean and broadcastable to it. A row that may
    look nowhere is all zeros, and so is its gradient. The lowest finite number
    stands in for minus infinity, with which it would be NaN on the way.
    """
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, lowest).softmax(-1)  # (..., T, S)
    return weights.masked_fill(~mask, 0.0)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: nn.Module | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(d_k)) V (equation 1).

    query (..., T, K), key (..., S, K), value (..., S, K'); mask boolean and
    broadcastable to (..., T, S), True where attention may look. Returns the
    output (..., T, K') and the weights (..., T, S), as they were before dropout.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (..., T, S)
    weights = scores.softmax(-1) if mask is None else masked_softmax(scores, mask)
    shares = weights if dropout is None else dropout(weights)
    return shares @ value, weights


class MultiHeadAttention(nn.Module):
    """h attentions side by side, each on its own projection (Section 3.2.2).

    d_k and d_v default to d_model / heads; ValueError where that is not whole.
    The paper has no biases and no dropout on the weights: both are settings.
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        d_k: int | None = None,
        d_v: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        if (d_k is None or d_v is None) and d_model % heads:
            raise ValueError(f"d_model {d_model} is not divisible by {heads} heads")
        d_k, d_v = d_k or d_model // heads, d_v or d_model // heads
        self.heads = heads
        self.query = nn.Linear(d_model, heads * d_k, bias)
        self.key = nn.Linear(d_model, heads * d_k, bias)
        self.value = nn.Linear(d_model, heads * d_v, bias)
        self.output = nn.Linear(heads * d_v, d_model, bias)
        self.dropout = nn.Dropout(dropout)  # on the weights: not in the paper
        self.keep_weights = False  # set it to look inside: see `weights`
        self.weights: Tensor | None = None  # (B, H, T, S) of the last call, if it made any

    def forward(self, x: Tensor, memory: Tensor, mask: "Mask" = None) -> Tensor:
        """x (B, T, D) looks at memory (B, S, D) -> (B, T, D).

        mask: broadcastable to (B, H, T, S), True where attention may look; None: everywhere; or
        a `View`.
        """
        view = mask if isinstance(mask, View) else View(mask)
        query = self.split(self.query(x))  # (B, H, T, K)
        key, value = view.keys_values(self, memory)  # (B, H, S, K), (B, H, S, K')
        heads, weights = view.attend(self, query, key, value)  # (B, H, T, K')
        if self.keep_weights:
            self.weights = None if weights is None else weights.detach()  # (B, H, T, S)
        return self.output(self.merge(heads))  # (B, T, D)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory (B, S, D) -> keys (B, H, S, K) and values (B, H, S, K')."""
        return self.split(self.key(memory)), self.split(self.value(memory))

    def split(self, x: Tensor) -> Tensor:
        """(..., S, H K) -> (..., H, S, K)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    @staticmethod
    def merge(x: Tensor) -> Tensor:
        """(..., H, T, K) -> (..., T, H K)"""
        return x.transpose(-3, -2).flatten(-2)


class View:
    """How queries see a memory, in every layer of a stack: with a mask, by equation 1."""

    def __init__(self, mask: Tensor | None = None):
        self.mask = mask  # broadcastable to (B, H, T, S), True where attention may look

    def keys_values(self, layer: MultiHeadAttention, memory: Tensor) -> tuple[Tensor, ...]:
        """memory (B, S, D) -> keys (B, H, S, K) and values (B, H, S, K')."""
        return layer.keys_values(memory)

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """query (B, H, T, K), key (B, H, S, K), value (B, H, S, K') -> (B, H, T, K'), (B, H, T, S).

        The second are the weights; a view that makes none returns None.
        """
        return attention(query, key, value, self.mask, layer.dropout)


Mask = Tensor | View | None  # what a layer takes as its mask
