"""What is to be done: sizes of models, batches of ragged sentences, and the FLOPs they take."""

import hashlib
import json
import math
import random
from collections.abc import Sequence
from typing import Any

from annotated.data.batching import Encoded, plan
from annotated.data.tokenizer import BOS, EOS, PAD
from annotated.model.transformer import TransformerConfig

SIZES = {
    "small": TransformerConfig(8000, layers=3, d_model=256, d_ff=1024, heads=4),
    "base-8k": TransformerConfig(8000),
    "base-37k": TransformerConfig(37000),
}
TINY = TransformerConfig(100, layers=1, d_model=32, d_ff=64, heads=2)  # for a smoke test

MEAN, SHORTEST, LONGEST = 27, 3, 120  # tokens a side, EOS included
SPREAD = 0.6  # of the logarithm of the source's length
RATIO_SPREAD = 0.2  # of the logarithm of target length / source length
LENGTHS = (
    f"source length log-normal (sigma of the logarithm {SPREAD}), scaled to a mean of {MEAN} "
    f"tokens; target length = source length times a log-normal ratio of mean 1 (sigma "
    f"{RATIO_SPREAD}); both rounded and clipped to [{SHORTEST}, {LONGEST}], EOS included; "
    "ids drawn uniformly from the vocabulary, special ones left out"
)


def lengths(count: int, seed: int) -> list[tuple[int, int]]:
    """The tokens of `count` sentence pairs, EOS included, as `LENGTHS` describes them."""
    draw = random.Random(seed)
    sources = [draw.lognormvariate(0.0, SPREAD) for _ in range(count)]
    scale = MEAN * count / sum(sources)

    def clip(length: float) -> int:
        return min(max(round(length), SHORTEST), LONGEST)

    def ratio() -> float:
        return draw.lognormvariate(-(RATIO_SPREAD**2) / 2, RATIO_SPREAD)

    return [(clip(scale * source), clip(scale * source * ratio())) for source in sources]


def sentences(count: int, vocab_size: int, seed: int) -> list[Encoded]:
    """Pairs of ragged sentences of random tokens; the lengths do not depend on the vocabulary."""
    draw, first = random.Random(f"ids {seed}"), max(PAD, BOS, EOS) + 1

    def ids(length: int) -> list[int]:
        return draw.choices(range(first, vocab_size), k=length - 1)  # and EOS

    return [(ids(source), ids(target)) for source, target in lengths(count, seed)]


def random_order(pairs: Sequence[Encoded], at_once: int) -> list[list[Encoded]]:
    """Batches of so many sentences, as they come."""
    whole = range(0, len(pairs) - at_once + 1, at_once)
    return [list(pairs[start : start + at_once]) for start in whole]


def like_length(pairs: Sequence[Encoded], at_once: int, seed: int) -> list[list[Encoded]]:
    """Batches of like length, as training makes them, of as many tokens as `at_once` take."""
    groups = plan(pairs, budget(at_once), seed)
    return [[pairs[index] for index in group] for group in groups]


def budget(at_once: int) -> int:
    """The tokens a side of a batch of like length: those of so many sentences."""
    return max(at_once * MEAN, LONGEST)


def tokens(batch: Sequence[Encoded]) -> tuple[int, int]:
    """The real tokens of a batch on each side, EOS (or BOS) included."""
    return sum(len(s) + 1 for s, _ in batch), sum(len(t) + 1 for _, t in batch)


def padded(batch: Sequence[Encoded]) -> tuple[int, int]:
    """The positions of a padded batch on each side."""
    return len(batch) * (max(len(s) for s, _ in batch) + 1), len(batch) * (
        max(len(t) for _, t in batch) + 1
    )


def padding(batches: Sequence[Sequence[Encoded]]) -> float:
    """The share of positions that hold no token."""
    real = sum(sum(tokens(batch)) for batch in batches)
    return 1 - real / sum(sum(padded(batch)) for batch in batches)


def attention_flops(config: TransformerConfig, source: int, target: int) -> int:
    """Of a training step on one sentence pair, the FLOPs of Q K^T and of the weights times V.

    Each takes 2 FLOPs per multiply-add: 2 n m K H; so 4 n m D for the two, where H K = D. The
    causal attention is counted in full, as is the custom.
    """
    looks = source * source + target * target + target * source
    return 3 * config.layers * 4 * looks * config.d_model


def other_flops(config: TransformerConfig, source: int, target: int) -> int:
    """Of a training step on one sentence pair, the FLOPs of all other matrix products.

    In a layer, forward: the four projections of a self-attention 8 D^2 a token; those of the
    cross-attention 4 D^2 a target token (Q, O) and 4 D^2 a source token (K, V); the feed-forward
    network 4 D F a token. The scores of the vocabulary: 2 D V a target token.
    """
    d, f = config.d_model, config.d_ff
    layer = source * (12 * d * d + 4 * d * f) + target * (12 * d * d + 4 * d * f)
    return 3 * (config.layers * layer + 2 * d * config.vocab_size * target)


def model_flops(config: TransformerConfig, batch: Sequence[Encoded]) -> int:
    """The FLOPs of the matrix products of a training step over the real tokens of a batch.

    Forward and backward: 3 times forward, for each product has two in its gradient. Padding,
    softmax, norms, loss, and Adam count nothing.
    """
    sizes = [(len(source) + 1, len(target) + 1) for source, target in batch]
    return sum(attention_flops(config, *n) + other_flops(config, *n) for n in sizes)


def crossing(config: TransformerConfig) -> float:
    """The length n, of both sides, at which attention takes as many FLOPs as all the rest."""
    return other_flops(config, 1, 1) / attention_flops(config, 1, 1)  # one grows as n, one as n^2


def fingerprint(pairs: Sequence[Encoded], seed: int) -> dict[str, Any]:
    """The sentences as a record describes them: how they are drawn, and a hash of the lengths."""
    sizes = [(len(source) + 1, len(target) + 1) for source, target in pairs]
    digest = hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    sides = list(zip(*sizes, strict=True))
    return {
        "name": "ragged sentences of random tokens",
        "lengths": LENGTHS,
        "seed": seed,
        "pairs": len(pairs),
        "mean_source": sum(sides[0]) / len(pairs),
        "mean_target": sum(sides[1]) / len(pairs),
        "correlation": correlation(*sides),
        "sha256": digest,
    }


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's, of two sequences of numbers."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    both = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    squares = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return both / math.sqrt(squares)
