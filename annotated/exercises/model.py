"""The exercises of Section 3: attention, feed-forward networks, embeddings, positions, stacks."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from annotated.exercises.checker import Exercise, predicted
from annotated.model.attention import MultiHeadAttention, attention, causal_mask
from annotated.model.embeddings import SharedEmbedding
from annotated.model.positions import sinusoids
from annotated.model.transformer import PRESETS, TransformerConfig, parameter_count


def scores(query: Tensor, key: Tensor) -> Tensor:
    """query (..., T, K), key (..., S, K) -> (..., T, S), divided as equation 1 has it"""
    return query @ key.mT / math.sqrt(query.size(-1))


def block(layer: MultiHeadAttention, head: int) -> slice:
    """Where a head's features stand."""
    width = layer.output.in_features // layer.heads
    return slice(head * width, (head + 1) * width)


def silenced(layer: MultiHeadAttention, x: Tensor, features: slice) -> Tensor:
    """The heads side by side, before W^O, with zeros for some features: x and out (B, T, D)."""
    heads, _ = attention(layer.split(layer.query(x)), *layer.keys_values(x))  # (B, H, T, K')
    out = layer.merge(heads)
    out[..., features] = 0
    return out


def without_head(layer: MultiHeadAttention, x: Tensor, head: int, factor: float = 1.0) -> Tensor:
    """What the layer makes of x (B, T, D) with one head silent and the others times a factor."""
    return layer.output(factor * silenced(layer, x, block(layer, head)))


def without_features(layer: MultiHeadAttention, x: Tensor, head: int) -> Tensor:
    """The mistake of cutting the head's features out of what W^O has mixed."""
    out = layer(x, x)
    out[..., block(layer, head)] = 0
    return out


def without_query(layer: MultiHeadAttention, x: Tensor, head: int) -> Tensor:
    """The mistake of silencing a head's query."""
    query = layer.split(layer.query(x))
    query[:, head] = 0
    heads, _ = attention(query, *layer.keys_values(x))
    return layer.output(layer.merge(heads))


def lookup_gradient(tokens: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    """ids (S,) and the gradient of what was looked up (S, D) -> that of the matrix (V, D)"""
    embedding = SharedEmbedding(vocab_size, gradient.size(1))
    embedding(tokens).backward(gradient)
    assert embedding.weight.grad is not None
    return embedding.weight.grad


def last_gradient(tokens: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    """The mistake of writing into a row where it should be added to."""
    found = torch.zeros(vocab_size, gradient.size(1))
    for token, row in zip(tokens, gradient, strict=True):
        found[token] = row * math.sqrt(len(row))
    return found


def turned(x: Tensor, way: int = 1, first: int = 0, slow: float = 1) -> Tensor:
    """Row t of x (T, K) times R_t: each pair of numbers turned by t times its frequency."""
    position = way * (torch.arange(len(x)) + first)[:, None]  # (T, 1)
    angle = position * 10000.0 ** (-slow * torch.arange(0, x.size(1), 2) / x.size(1))  # (T, K/2)
    a, b = x[:, ::2], x[:, 1::2]
    pairs = a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()
    return torch.stack(pairs, -1).flatten(1)


def turned_in_place(x: Tensor) -> Tensor:
    """The mistake of using the first number of a pair when it has been turned."""
    first = turned(x)[:, ::2]
    second = turned(torch.stack([first, x[:, 1::2]], -1).flatten(1))[:, 1::2]
    return torch.stack([first, second], -1).flatten(1)


def turned_halves(x: Tensor) -> Tensor:
    """The mistake of pairing number i with number i + K/2."""
    order = torch.arange(x.size(1)).view(2, -1).T.flatten()
    return turned(x[:, order])[:, order.argsort()]


def sines_first(length: int, d_model: int, first: int = 0) -> Tensor:
    """The sinusoids (length, D) with all sines on the left and all cosines on the right."""
    table = sinusoids(length + first, d_model)[first:]
    return torch.cat([table[:, ::2], table[:, 1::2]], 1)


def spaced(length: int, d_model: int, exponent: Tensor) -> Tensor:
    """All sines, then all cosines, with these exponents (D/2,) of 10000."""
    angle = torch.arange(length)[:, None] * 10000.0**-exponent
    return torch.cat([angle.sin(), angle.cos()], 1)


PAIRS = [torch.tensor([float(a), float(b)]) for a in (0, 1) for b in (0, 1)]

EXERCISES = {
    "attention-1": predicted(
        [1 / 3] * 3,
        {
            "The fish has the goldfish's own key, but (0, 0) times (0, 0) is 0, as with any other "
            "key.": [0.0, 0.0, 1.0],
            "A score of 0 is not a share of 0: the softmax makes e^0 = 1 of it.": [0.0] * 3,
        },
    ),
    "attention-2": Exercise(
        lambda query, key: scores(query, key).softmax(-1),
        lambda: [
            (torch.randn(2, 4), torch.randn(3, 4)),
            (torch.randn(2, 3, 8), torch.randn(2, 5, 8)),
            (100 * torch.randn(2, 4), 100 * torch.randn(3, 4)),
        ],
        {
            "Your rows sum to one along the wrong dimension: over the queries, not the keys.": (
                lambda query, key: scores(query, key).softmax(-2)
            ),
            "The scores are not divided by the root of d_k.": (
                lambda query, key: (query @ key.mT).softmax(-1)
            ),
            "You divide by d_k, not by its root.": (
                lambda query, key: (query @ key.mT / query.size(-1)).softmax(-1)
            ),
            "You multiply by the root of d_k where equation 1 divides.": (
                lambda query, key: (query @ key.mT * math.sqrt(query.size(-1))).softmax(-1)
            ),
            "The exponentials are not yet divided by their sum.": (
                lambda query, key: scores(query, key).exp()
            ),
            "Each row sums to one by itself; yours do all together.": (
                lambda query, key: scores(query, key).exp() / scores(query, key).exp().sum()
            ),
            "A large score overflows: take the row's largest score away before exp.": (
                lambda query, key: (
                    scores(query, key).exp() / scores(query, key).exp().sum(-1, keepdim=True)
                )
            ),
            "Queries and keys have changed places.": (
                lambda query, key: scores(key, query).softmax(-1)
            ),
        },
    ),
    "attention-3": Exercise(
        lambda length, back: causal_mask(length) & ~causal_mask(length).tril(-back - 1),
        lambda: [(5, 2), (6, 0), (4, 9)],
        {
            "Off by one: a position sees itself and `back` others.": (
                lambda length, back: causal_mask(length) & ~causal_mask(length).tril(-back)
            ),
            "Off by one: you let it look one place too far back.": (
                lambda length, back: causal_mask(length) & ~causal_mask(length).tril(-back - 2)
            ),
            "It sees the future, too: the window must be causal.": (
                lambda length, back: (
                    ~causal_mask(length).tril(-back - 1) & ~causal_mask(length).tril(-back - 1).T
                )
            ),
            "It looks ahead instead of back.": (
                lambda length, back: (causal_mask(length) & ~causal_mask(length).tril(-back - 1)).T
            ),
            "Upside down: True is where attention may look.": (
                lambda length, back: ~(causal_mask(length) & ~causal_mask(length).tril(-back - 1))
            ),
            "That is the whole past, without the window.": lambda length, back: causal_mask(length),
            "The mask must be boolean, not numbers.": (
                lambda length, back: (
                    causal_mask(length).float() - causal_mask(length).tril(-back - 1).float()
                )
            ),
        },
    ),
    "attention-5": Exercise(
        without_head,
        lambda: [(MultiHeadAttention(16, 4), torch.randn(2, 5, 16), head) for head in (2, 0)],
        {
            "You cut features out of the output, after W^O has mixed the heads.": without_features,
            "A query of zeros still reads: all words, equally.": without_query,
            "A head's features stand side by side, d_k of them; you took every h-th.": (
                lambda layer, x, head: layer.output(
                    silenced(layer, x, slice(head, None, layer.heads))
                )
            ),
            "W^O is missing.": lambda layer, x, head: silenced(layer, x, block(layer, head)),
            "That is what the head alone says; take it away from the whole.": (
                lambda layer, x, head: layer(x, x) - without_head(layer, x, head)
            ),
            "Nothing was taken away: that is the whole layer.": lambda layer, x, head: layer(x, x),
            "The other heads must stay as they are, not be scaled up like dropout's survivors.": (
                lambda layer, x, head: without_head(layer, x, head, layer.heads / (layer.heads - 1))
            ),
        },
    ),
    "feed-forward-1": Exercise(
        lambda x: (x.sum() - 2 * (x.sum() - 1).relu()).item(),
        lambda: [(pair,) for pair in PAIRS],
        {
            "That is 'or': it is 1 for both as well.": lambda x: x.max().item(),
            "That is 'and': it is 1 for both alone.": lambda x: x.min().item(),
            "That is the sum: nothing takes the 2 back when both are 1.": lambda x: x.sum().item(),
            "One of the two counts negative: a ReLU has to catch it.": (
                lambda x: (x[0] - x[1]).item()
            ),
        },
    ),
    "feed-forward-2": Exercise(
        lambda x, keys, values: (x @ keys.T).relu() @ values,
        lambda: [(torch.randn(t, 4), torch.randn(6, 4), torch.randn(6, 4)) for t in (3, 1)],
        {
            "There is no softmax here: each memory speaks up for itself, by the ReLU.": (
                lambda x, keys, values: (x @ keys.T).softmax(-1) @ values
            ),
            "The scores are not divided here: equation 2 has no root.": (
                lambda x, keys, values: scores(x, keys).relu() @ values
            ),
            "The ReLU comes before the values are added up, not after.": (
                lambda x, keys, values: (x @ keys.T @ values).relu()
            ),
            "Without the ReLU the two maps are one.": lambda x, keys, values: x @ keys.T @ values,
        },
    ),
    "feed-forward-4": predicted(
        1024,
        {
            "With four times the width the network has twice as many weights as attention.": 2048,
            "Attention has four matrices of D by D, not two.": 512,
        },
    ),
    "embeddings-1": Exercise(
        lambda vocab_size, d_model, sigma: math.log(vocab_size) + d_model * sigma**2 / 2,
        lambda: [(500, 256, 0.05), (37_000, 512, 512**-0.5), (1000, 64, 0.1)],
        {
            "That is the ideal; logits of some size cost half of their variance more.": (
                lambda vocab_size, d_model, sigma: math.log(vocab_size)
            ),
            "The loss is in nats: the logarithm is the natural one.": (
                lambda vocab_size, d_model, sigma: math.log2(vocab_size) + d_model * sigma**2 / 2
            ),
            "Half of the variance is added, not all of it.": (
                lambda vocab_size, d_model, sigma: math.log(vocab_size) + d_model * sigma**2
            ),
            "A logit is a sum of D terms: its variance is D times that of an entry.": (
                lambda vocab_size, d_model, sigma: math.log(vocab_size) + sigma**2 / 2
            ),
            "That adds half of the deviation, not of the variance.": (
                lambda vocab_size, d_model, sigma: (
                    math.log(vocab_size) + math.sqrt(d_model) * sigma / 2
                )
            ),
        },
    ),
    "embeddings-5": Exercise(
        lookup_gradient,
        lambda: [
            (torch.tensor([1, 3, 1]), torch.randn(3, 4), 5),
            (torch.tensor([0, 2]), torch.randn(2, 6), 3),
        ],
        {
            "A token that stands twice has to get both gradients: add, do not overwrite.": (
                last_gradient
            ),
            "The factor at the entrance is missing: the root of D.": (
                lambda tokens, gradient, vocab_size: (
                    F.one_hot(tokens, vocab_size).float().T @ gradient
                )
            ),
            "That is divided by the number of tokens: the gradients add up.": (
                lambda tokens, gradient, vocab_size: (
                    lookup_gradient(tokens, gradient, vocab_size) / len(tokens)
                )
            ),
            "The factor is the root of D, not D.": (
                lambda tokens, gradient, vocab_size: (
                    lookup_gradient(tokens, gradient, vocab_size) * math.sqrt(gradient.size(1))
                )
            ),
        },
    ),
    "positions-2": Exercise(
        turned,
        lambda: [(torch.randn(4, 6),), (torch.randn(5, 8),)],
        {
            "It turns the other way: that is R with -t.": lambda x: turned(x, way=-1),
            "Neighbors make a pair, numbers 0 and 1, not 0 and K/2.": turned_halves,
            "Positions count from 0: the first row stays as it is.": lambda x: turned(x, first=1),
            "All pairs turn equally fast: the later ones have lower frequencies.": (
                lambda x: turned(x, slow=0)
            ),
            "Frequency i has the exponent 2i/K, not i/K.": lambda x: turned(x, slow=0.5),
            "The first of a pair had been turned when the second was made from it.": (
                turned_in_place
            ),
            "That adds the encoding; here the row is turned by it.": (
                lambda x: x + sinusoids(*x.shape)
            ),
        },
    ),
    "positions-5": Exercise(
        sines_first,
        lambda: [(4, 6), (3, 8)],
        {
            "That is the paper's order: sine, cosine, sine, cosine.": sinusoids,
            "Positions count from 0.": lambda length, d_model: sines_first(length, d_model, 1),
            "The exponent is 2i/D, not i/D.": (
                lambda length, d_model: spaced(
                    length, d_model, torch.arange(d_model // 2) / d_model
                )
            ),
            "That is the first code's spacing, i/(D/2 - 1): keep the paper's.": (
                lambda length, d_model: spaced(
                    length, d_model, torch.arange(d_model // 2) / (d_model // 2 - 1)
                )
            ),
        },
    ),
    "stacks-2": Exercise(
        lambda target: (target[:, :-1], target[:, 1:]),
        lambda: [(torch.randint(3, 20, (2, t)),) for t in (5, 2)],
        {
            "Without the shift the answer stands where it is asked for.": (
                lambda target: (target[:, 1:], target[:, 1:])
            ),
            "Shifted the wrong way: it would predict the past from the future.": (
                lambda target: (target[:, 1:], target[:, :-1])
            ),
            "Nothing was cut off: the last token has no next one.": (
                lambda target: (target, target)
            ),
            "The first token has come round to the end: cut it off.": (
                lambda target: (target, target.roll(-1, 1))
            ),
        },
    ),
    "stacks-5": Exercise(
        lambda config: parameter_count(replace(config, layers=1)),
        lambda: [(TransformerConfig(1000, 3, 64, 128, 4),), (PRESETS["base"],)],
        {
            "Nothing is shared: did you make a new layer for each place in the list?": (
                parameter_count
            ),
            "The embedding is no layer: it is not divided by their number.": (
                lambda config: parameter_count(config) // config.layers
            ),
            "The embedding is missing.": (
                lambda config: (
                    parameter_count(replace(config, layers=1)) - config.vocab_size * config.d_model
                )
            ),
        },
    ),
}
