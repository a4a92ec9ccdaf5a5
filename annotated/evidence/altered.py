# Tangled from chapters/evidence/without-heads.md: change it there, then run `make tangle`.
"""A Transformer with other attention: heads off, fixed, even, or by other weights (Section 4)."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from annotated.evidence.heads import attention_weights
from annotated.model.attention import (
    Mask,
    MultiHeadAttention,
    View,
    causal_mask,
    masked_softmax,
    padding_mask,
)
from annotated.model.transformer import Transformer


class Through(View):
    """Another view, as it is; kinds of it change one thing on the way."""

    def __init__(self, view: View):
        super().__init__(view.mask)
        self.view = view

    def keys_values(self, layer: MultiHeadAttention, memory: Tensor) -> tuple[Tensor, ...]:
        """As the view below does."""
        return self.view.keys_values(layer, memory)

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """As the view below does."""
        return self.view.attend(layer, query, key, value)


Change = Callable[[View], View]


class Altered(Transformer):
    """The model itself, its weights shared, with changes over the views of its attentions.

    changes: by the name of the attention, "encoder", "decoder" or "cross-attention".
    """

    def __init__(self, model: Transformer, changes: Mapping[str, Change]):
        nn.Module.__init__(self)
        for name, part in model.named_children():
            self.add_module(name, part)
        self.config, self.changes = model.config, changes
        self.train(model.training)

    def over(self, name: str, mask: Mask) -> View:
        """The view that an attention gets, in place of the mask or view that it would have had."""
        view = mask if isinstance(mask, View) else View(mask)
        return self.changes[name](view) if name in self.changes else view

    def encode(
        self, source: Tensor, mask: Mask = None, position: Tensor | None = None
    ) -> tuple[Tensor, Mask]:
        """As the model does; the mask that is returned is without the change."""
        mask = padding_mask(source, self.config.pad) if mask is None else mask
        memory, _ = super().encode(source, self.over("encoder", mask), position)
        return memory, mask

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_mask: Mask,
        mask: Mask = None,
        position: Tensor | None = None,
    ) -> Tensor:
        """As the model does."""
        mask = causal_mask(target.size(1), target.device) if mask is None else mask
        across, back = self.over("cross-attention", memory_mask), self.over("decoder", mask)
        return super().decode(target, memory, across, back, position)


Head = tuple[str, int, int]  # the name of its attention, its layer and its number, from 1


def attentions(model: Transformer) -> dict[str, list[MultiHeadAttention]]:
    """The attention of each layer, by name."""
    encoder: list[Any] = [*model.encoder.layers]
    decoder: list[Any] = [*model.decoder.layers]
    return {
        "encoder": [layer.self_attention for layer in encoder],
        "decoder": [layer.self_attention for layer in decoder],
        "cross-attention": [layer.cross_attention for layer in decoder],
    }


def all_heads(model: Transformer) -> list[Head]:
    """Every head of the model."""
    return [
        (name, layer, head)
        for name, layers in attentions(model).items()
        for layer, attention in enumerate(layers, 1)
        for head in range(1, attention.heads + 1)
    ]


class Without(Through):
    """What some heads of some layers found is zero."""

    def __init__(self, view: View, off: Mapping[MultiHeadAttention, Collection[int]]):
        super().__init__(view)
        self.off = off

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What the heads found (B, H, T, K'), or packed (H, N, K'), and the weights."""
        found, weights = super().attend(layer, query, key, value)
        off = self.off.get(layer, ())
        on = found.new_tensor([head not in off for head in range(1, layer.heads + 1)])  # (H,)
        return found * on[:, None, None], weights


def without(model: Transformer, heads: Iterable[Head]) -> Altered:
    """The model with these heads off; ValueError where it has no such head."""
    off: dict[MultiHeadAttention, set[int]] = defaultdict(set)
    there, layers = all_heads(model), attentions(model)
    for head in heads:
        if head not in there:
            raise ValueError(f"the model has no head {head}")
        name, layer, number = head
        off[layers[name][layer - 1]].add(number)
    return Altered(model, dict.fromkeys(layers, lambda view: Without(view, off)))


def pattern_masks(there: Tensor, patterns: Sequence[str | None]) -> Tensor:
    """Where each head may look: there (B, 1, 1, S), True at words -> (B, H, S, S).

    patterns, for each head: "same", "previous", "next", "begin", "end", or None for all words.
    At the borders previous and next are the word itself.
    """
    place = torch.arange(there.size(-1), device=there.device)  # (S,)
    last = there.sum(-1) - 1  # (B, 1, 1), of each sentence
    looks = {
        "same": place,
        "previous": (place - 1).clamp(min=0),
        "next": torch.minimum(place + 1, last),
        "begin": torch.zeros_like(place),
        "end": last.expand(-1, 1, len(place)),
    }  # (S,) or (B, 1, S): the place that is looked at
    free = there.expand(-1, 1, len(place), -1)  # (B, 1, S, S)
    masks = [
        free if name is None else (looks[name][..., None] == place).expand_as(free) & free
        for name in patterns
    ]
    return torch.cat(masks, 1)


def with_patterns(model: Transformer, patterns: Sequence[str | None]) -> Altered:
    """The model with fixed patterns in each layer of its encoder (Raganato et al. 2020).

    ValueError where there is not one for each head.
    """
    if len(patterns) != model.config.heads:
        raise ValueError(f"{len(patterns)} patterns for {model.config.heads} heads")

    def fixed(view: View) -> View:
        view = copy(view)
        assert view.mask is not None  # the encoder always knows where its words are
        view.mask = pattern_masks(view.mask, patterns)
        return view

    return Altered(model, {"encoder": fixed})


class Even(Through):
    """All places that may be looked at get the same weight."""

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """As the view below does for queries of zero, whose scores are all zero."""
        return super().attend(layer, 0 * query, key, value)


def with_even(model: Transformer, name: str) -> Altered:
    """The model with even weights in all heads of one attention."""
    return Altered(model, {name: Even})


class Given(Through):
    """One layer reads by the weights (B, H, T, S) that are given here."""

    def __init__(self, view: View, at: MultiHeadAttention, weights: Tensor):
        super().__init__(view)
        self.at, self.weights = at, weights

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """value (B, H, S, K') -> what the heads found (B, H, T, K'), and the weights"""
        if layer is self.at:
            return self.weights @ value, self.weights
        return super().attend(layer, query, key, value)


def given(model: Transformer, name: str, layer: int, weights: Tensor) -> Altered:
    """The model with weights (B, H, T, S) in one layer, from 1, of an attention."""
    at = attentions(model)[name][layer - 1]
    return Altered(model, {name: lambda view: Given(view, at, weights)})


class Other(NamedTuple):
    """Weights of one layer under which sentences keep their translations."""

    weights: Tensor  # (B, H, T, S)
    moved: Tensor  # (B,): the share of weight that lies elsewhere, the mean of heads and rows
    changed: Tensor  # (B,): total variation of the next word's distribution, at its worst step


def variation(one: Tensor, other: Tensor) -> Tensor:
    """Half the sum of the differences of two distributions: (..., n) -> (...), from 0 to 1"""
    return (one - other).abs().sum(-1) / 2


def other_weights(
    model: Transformer,
    source: Tensor,
    target: Tensor,
    name: str,
    layer: int,
    steps: int = 60,
    most: float = 0.05,
) -> Other:
    """For each sentence the weights furthest from the model's that change no step by over `most`.

    source (B, S) and target (B, T) as in training; name and layer, from 1, of the attention. They
    are looked for by `steps` of Adam, from a random start; where none are found they stay.
    """
    own = attention_weights(model, source, target)[name][layer - 1]  # (B, H, T, S)
    rows = ((source if name == "encoder" else target) != model.config.pad)[:, None]  # (B, 1, T)
    steady = (target != model.config.pad).float()  # (B, T): the steps that must not change
    with torch.no_grad():
        before = model(source, target).softmax(-1)  # (B, T, V)
    nothing = own.new_zeros(len(own))  # (B,)
    found = Other(own, nothing, nothing)
    scores = torch.randn_like(own).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.2)
    for _ in range(steps):
        weights = masked_softmax(scores, own > 0)
        after = given(model, name, layer, weights)(source, target).log_softmax(-1)
        apart = (variation(weights, own) * rows).sum((1, 2)) / rows.sum((1, 2)) / own.size(1)
        worst = (variation(after.exp(), before) * steady).amax(1)  # (B,)
        better = (worst <= most) & (apart > found.moved)
        chosen = torch.where(better[:, None, None, None], weights, found.weights)
        found = Other(
            chosen.detach(),
            torch.where(better, apart, found.moved).detach(),
            torch.where(better, worst, found.changed).detach(),
        )
        surprise = (before * (before.clamp(min=1e-9).log() - after)).sum(-1)  # (B, T), in nats
        optimizer.zero_grad()
        (10 * (surprise * steady).sum() - apart.sum()).backward(inputs=[scores])
        optimizer.step()
    return found
