# Tangled from chapters/model/stacks.md: change it there, then run `make tangle`.
"""The encoder and decoder stacks, the whole model and its sizes (Section 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from annotated.model.attention import Mask, MultiHeadAttention, causal_mask, padding_mask
from annotated.model.embeddings import SharedEmbedding
from annotated.model.feed_forward import FeedForward
from annotated.model.positions import LearnedPositions, SinusoidalPositions
from annotated.ranges import Count, Positive, Rate, Whole, check_ranges


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a model; the defaults are the paper's base model (Table 3)."""

    vocab_size: Count = 37000  # V, tokens in one vocabulary for source and target
    layers: Count = 6  # N, in each stack
    d_model: Count = 512  # D, the width of every vector between two layers
    d_ff: Count = 2048  # F, the width inside the feed-forward network
    heads: Count = 8  # H, attentions side by side in a layer
    d_k: Count | None = None  # K, of queries and keys: d_model / heads where not given
    d_v: Count | None = None  # of values: d_model / heads where not given
    dropout: Rate = 0.1  # on sub-layers' outputs and the embedded input (Section 5.4)
    attention_dropout: Rate = 0.0  # on the attention weights: not in the paper
    hidden_dropout: Rate = 0.0  # inside the feed-forward network: not in the paper
    attention_bias: bool = False  # of Q, K, V and output: the equations have none
    attention_gain: Positive = 1.0  # times the first weights of Q, K and V; PyTorch's own is 0.71
    norm_first: bool = False  # pre-norm, with one more norm after each stack
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"  # tell the order (Table 3, row E)
    max_length: Count = 512  # positions that learned ones reach to
    pad: Whole = 0  # the id that fills a batch up

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def reach(self) -> int | None:
        """How many positions the model knows; None: any number."""
        return self.max_length if self.positions == "learned" else None


PRESETS = {
    "base": TransformerConfig(),
    "big": TransformerConfig(d_model=1024, d_ff=4096, heads=16, dropout=0.3),
}


Sublayer = Callable[[Tensor], Tensor]  # (B, T, D) -> (B, T, D)


class Residual(nn.Module):
    """What surrounds a sub-layer f: LayerNorm(x + Dropout(f(x))).

    With norm_first it is x + Dropout(f(LayerNorm(x))) (Xiong et al. 2020).
    """

    def __init__(self, d_model: int, dropout: float, norm_first: bool = False):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: Tensor, sublayer: Sublayer) -> Tensor:
        """x (B, T, D) and a function (B, T, D) -> (B, T, D); returns (B, T, D)"""
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


def multi_head(sizes: TransformerConfig) -> MultiHeadAttention:
    """One attention of the sizes that the configuration says."""
    widths = sizes.d_model, sizes.heads, sizes.d_k, sizes.d_v
    return MultiHeadAttention(*widths, sizes.attention_bias, sizes.attention_dropout)


def residuals(sizes: TransformerConfig, count: int) -> nn.ModuleList:
    """The residual connections of a layer, `count` of them."""
    one = sizes.d_model, sizes.dropout, sizes.norm_first
    return nn.ModuleList(Residual(*one) for _ in range(count))


def final_norm(sizes: TransformerConfig) -> nn.Module:
    """Pre-norm leaves a stack's output unnormalized, so it ends with one more norm."""
    return nn.LayerNorm(sizes.d_model) if sizes.norm_first else nn.Identity()


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network, each in a residual connection."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = multi_head(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, config.hidden_dropout)
        self.residuals = residuals(config, 2)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """x (B, S, D), mask (B, 1, 1, S) -> (B, S, D)"""
        x = self.residuals[0](x, lambda x: self.self_attention(x, x, mask))
        return self.residuals[1](x, self.feed_forward)


class Encoder(nn.Module):
    """N encoder layers, one after the other."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.norm = final_norm(config)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """x (B, S, D), mask (B, 1, 1, S) -> (B, S, D)"""
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class DecoderLayer(nn.Module):
    """Self-attention on what is written, attention to the source, feed-forward network."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = multi_head(config)
        self.cross_attention = multi_head(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, config.hidden_dropout)
        self.residuals = residuals(config, 3)

    def forward(self, x: Tensor, memory: Tensor, mask: Mask, memory_mask: Mask) -> Tensor:
        """x (B, T, D), memory (B, S, D), masks (T, T) and (B, 1, 1, S) -> (B, T, D)"""
        x = self.residuals[0](x, lambda x: self.self_attention(x, x, mask))
        x = self.residuals[1](x, lambda x: self.cross_attention(x, memory, memory_mask))
        return self.residuals[2](x, self.feed_forward)


class Decoder(nn.Module):
    """N decoder layers, one after the other, each looking at the same encoder output."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = final_norm(config)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None
    ) -> Tensor:
        """x (B, T, D), memory (B, S, D), masks (T, T) and (B, 1, 1, S) -> (B, T, D)"""
        for layer in self.layers:
            x = layer(x, memory, mask, memory_mask)
        return self.norm(x)


def position_encoding(config: TransformerConfig) -> nn.Module:
    """The sinusoids, or the table of Table 3, row E."""
    if config.positions == "learned":
        return LearnedPositions(config.d_model, config.max_length)
    return SinusoidalPositions(config.d_model)


def start_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, if the module is a linear map."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def start_attentions(model: nn.Module, gain: float) -> None:
    """Multiply the weights of all Q, K and V by the gain."""
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            for linear in (module.query, module.key, module.value):
                linear.weight.mul_(gain)


class Transformer(nn.Module):
    """The whole model of Figure 1: tokens in, scores of the next token out."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = SharedEmbedding(config.vocab_size, config.d_model)
        self.positions = position_encoding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.apply(start_linear)
        start_attentions(self, config.attention_gain)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """ids (B, S) and, shifted right, (B, T) -> logits (B, T, V)"""
        memory, memory_mask = self.encode(source)
        return self.embedding.logits(self.decode(target, memory, memory_mask))

    def encode(
        self, source: Tensor, mask: Mask = None, position: Tensor | None = None
    ) -> tuple[Tensor, Mask]:
        """ids (B, S) -> memory (B, S, D) and the mask that was used, by default (B, 1, 1, S)"""
        mask = padding_mask(source, self.config.pad) if mask is None else mask
        return self.encoder(self.embed(source, position), mask), mask

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_mask: Mask,
        mask: Mask = None,
        position: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T), memory, and how it is seen (B, 1, 1, S) -> (B, T, D), before the logits"""
        mask = causal_mask(target.size(1), target.device) if mask is None else mask
        return self.decoder(self.embed(target, position), memory, mask, memory_mask)

    def embed(self, tokens: Tensor, position: Tensor | None = None) -> Tensor:
        """ids (B, T), and where they stand (T,), by default from 0 on -> (B, T, D)"""
        return self.dropout(self.positions(self.embedding(tokens), position))


def parameter_count(config: TransformerConfig) -> int:
    """The number of weights of a model, from the sizes alone."""
    d, f, h = config.d_model, config.d_ff, config.heads
    k, v = h * (config.d_k or d // h), h * (config.d_v or d // h)  # of all heads together
    attention = 2 * d * k + 2 * d * v + config.attention_bias * (2 * k + v + d)
    feed_forward = 2 * d * f + f + d
    norm = 2 * d
    both_layers = 3 * attention + 2 * feed_forward + 5 * norm  # an encoder's, a decoder's
    table = config.max_length * d if config.positions == "learned" else 0
    ends = 2 * norm if config.norm_first else 0
    return config.vocab_size * d + table + config.layers * both_layers + ends
