"""The exercises of Section 6.2: sizes, perplexities, and what chance does to a table."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from annotated.exercises.checker import Exercise, predicted

Fit = Callable[[int, int, int], tuple[int, int]]
MILLION = 10**6


def vocabularies(millions: int, rest: int, d_model: int) -> tuple[int, int]:
    """The smallest and the largest V with which rest + V d_model rounds to that many millions."""
    low, high = (millions * MILLION - MILLION // 2 - rest, millions * MILLION + MILLION // 2 - rest)
    return -(-low // d_model), (high - 1) // d_model


def within(half: int, matrices: int = 1) -> Fit:
    """The same with another way to round, or more embeddings than one."""

    def fit(millions: int, rest: int, d_model: int) -> tuple[int, int]:
        low, high = (millions * MILLION + sign * half - rest for sign in (-1, 1))
        width = matrices * d_model
        return -(-low // width), (high - 1) // width

    return fit


def cut_down(millions: int, rest: int, d_model: int) -> tuple[int, int]:
    """The mistake of a size whose fraction is cut off."""
    low = millions * MILLION - rest
    return -(-low // d_model), (low + MILLION - 1) // d_model


def per_word(perplexities: Tensor, tokens: Tensor, words: Tensor) -> float:
    """Perplexities per token of batches, their tokens and their words, (n,) each -> per word."""
    return math.exp((perplexities.log() * tokens).sum() / words.sum())


def batches_of_text() -> list[tuple[Any, ...]]:
    """Batches of other lengths and of other difficulty."""
    made = []
    for n in (1, 3, 5):
        words = torch.randint(20, 90, (n,)).double()
        tokens = (words * (1 + torch.rand(n))).round()
        made.append((1.5 + 6 * torch.rand(n).double(), tokens, words))
    return made


EXERCISES: dict[str, Exercise] = {
    "variations-1": predicted(
        0.95,
        {
            "That many lie around nothing, as they should; the others are asked for.": 18.05,
            "Chance is not so kind: of 100 intervals five miss.": 0.0,
            "One in twenty, and there are nineteen rows: not twenty.": 1.0,
        },
    ),
    "variations-2": Exercise(
        vocabularies,
        lambda: [(65, 44_101_632, 512), (28, 16_400_000, 256), (213, 176_283_648, 1024)],
        {
            "A printed size is rounded: it may be half a million less, or more.": within(1),
            "Half a million on either side, not a whole one.": within(MILLION),
            "A size is rounded, not cut off.": cut_down,
            "One matrix serves both sides and the scores: count it once.": (
                within(MILLION // 2, matrices=3)
            ),
        },
    ),
    "variations-3": Exercise(
        per_word,
        batches_of_text,
        {
            "Perplexities have no mean: nats add up, so take logarithms first.": (
                lambda perplexities, tokens, words: float(
                    ((perplexities * tokens).sum() / words.sum()).item()
                )
            ),
            "A batch counts by its tokens.": (
                lambda perplexities, tokens, words: math.exp(
                    perplexities.log().mean() * tokens.sum() / words.sum()
                )
            ),
            "That is per token: share the nats among words.": (
                lambda perplexities, tokens, words: math.exp(
                    (perplexities.log() * tokens).sum() / tokens.sum()
                )
            ),
            "Longer batches weigh more: add up nats and words of all, and divide once.": (
                lambda perplexities, tokens, words: math.exp(
                    (perplexities.log() * tokens / words).mean()
                )
            ),
            "Those are the nats of a word; perplexity is their exponential.": (
                lambda perplexities, tokens, words: (
                    (perplexities.log() * tokens).sum() / words.sum()
                ).item()
            ),
        },
    ),
}
