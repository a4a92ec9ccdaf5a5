# Tangled from chapters/6-1-translation.md: change it there, then run `make tangle`.
"""Greedy decoding, with keys and values kept from token to token (Section 6.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from annotated.batching import pad
from annotated.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.transformer import DecoderLayer, Transformer


@dataclass
class LayerCache:
    """The keys and values that one decoder layer has computed so far."""

    memory: tuple[Tensor, Tensor]  # of the source: (B, H, S, K), (B, H, S, K')
    past: tuple[Tensor, Tensor] | None = None  # of what is written: (B, H, t, K), (B, H, t, K')

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the newest position's key (B, H, 1, K) and value; returns all so far."""
        if self.past is not None:
            key = torch.cat([self.past[0], key], 2)  # (B, H, t + 1, K)
            value = torch.cat([self.past[1], value], 2)
        self.past = key, value
        return self.past


def layer_step(layer: DecoderLayer, x: Tensor, cache: LayerCache, memory_mask: Tensor) -> Tensor:
    """The newest position x (B, 1, D) through one decoder layer -> (B, 1, D)"""

    def look_back(x: Tensor) -> Tensor:
        key, value = cache.extend(*layer.self_attention.keys_values(x))
        return layer.self_attention.attend(x, key, value)

    def look_across(x: Tensor) -> Tensor:
        return layer.cross_attention.attend(x, *cache.memory, memory_mask)

    return layer.connect(x, look_back, look_across)


class Decoding:
    """The translation of a batch under way: tokens in, the logits of the next ones out."""

    def __init__(self, model: Transformer, source: Tensor):
        """source (B, S) of ids is encoded here, once."""
        self.model = model
        self.layers: list[Any] = list(model.decoder.layers)  # of DecoderLayer
        memory, self.memory_mask = model.encode(source)  # (B, S, D), (B, 1, 1, S)
        self.caches = [
            LayerCache(layer.cross_attention.keys_values(memory)) for layer in self.layers
        ]
        self.length = 0  # positions written so far

    def step(self, token: Tensor) -> Tensor:
        """token (B,) of ids, the last ones written -> logits of the next ones (B, V)"""
        x = self.model.embed(token[:, None], start=self.length)  # (B, 1, D)
        for layer, cache in zip(self.layers, self.caches, strict=True):
            x = layer_step(layer, x, cache, self.memory_mask)
        self.length += 1
        return self.model.embedding.logits(self.model.decoder.norm(x[:, 0]))  # (B, V)


@torch.no_grad()
def greedy(model: Transformer, source: Tensor, extra: int = 50) -> Tensor:
    """The most probable token, again and again, until each sentence has ended.

    source (B, S) of ids -> (B, T) of ids, without BOS; EOS where a sentence ended by itself, PAD
    after it. A sentence has at most its source's length + `extra` tokens. Puts the model into
    evaluation mode.
    """
    model.eval()
    decoding = Decoding(model, source)
    limit = (source != PAD).sum(1) + extra  # (B,)
    token = torch.full_like(limit, BOS)
    ended = torch.zeros_like(limit, dtype=torch.bool)
    written: list[Tensor] = []
    while not ended.all():
        token = decoding.step(token).argmax(-1).masked_fill(ended, PAD)  # (B,)
        written.append(token)
        ended = ended | (token == EOS) | (len(written) >= limit)
    return torch.stack(written, 1)  # (B, T)


def translate(
    model: Transformer, tokenizer: Tokenizer, sentences: Sequence[str], batch_tokens: int = 4096
) -> list[str]:
    """One translation for each sentence, in order; a blank sentence gives an empty one.

    batch_tokens bounds the padded source positions that are translated together.
    """
    encoded = [[*tokenizer.encode(sentence.strip()), EOS] for sentence in sentences]
    order = [i for i, ids in enumerate(encoded) if len(ids) > 1]
    order.sort(key=lambda i: len(encoded[i]))
    device = next(model.parameters()).device
    translations = [""] * len(sentences)
    while order:
        count = max(1, batch_tokens // len(encoded[order[-1]]))  # the longest is last
        group, order = order[-count:], order[:-count]
        written = greedy(model, pad([encoded[i] for i in group]).to(device))  # (B, T)
        for i, ids in zip(group, written.tolist(), strict=True):
            text = tokenizer.decode(x for x in ids if x not in (EOS, PAD))
            translations[i] = text.replace("\n", " ")  # one line stays one line
    return translations
