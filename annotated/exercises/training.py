"""The exercises of Sections 5.2 to 5.4: the loop, the optimizer, regularization."""

import math

import torch
from torch import Tensor

from annotated.exercises.checker import Exercise, predicted
from annotated.training.optimizer import learning_rate


def clipped(gradients: list[Tensor], most: float) -> list[Tensor]:
    """All gradients, shortened together so that the length of the whole is `most` or less."""
    length = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g * min(1.0, most / length) for g in gradients]


def sum_clipped(gradients: list[Tensor], most: float) -> list[Tensor]:
    """The mistake of adding up the lengths, where the squares add up."""
    length = sum(g.norm().item() for g in gradients)
    return [g * min(1.0, most / length) for g in gradients]


def place(step: int, groups: list[int]) -> tuple[int, int]:
    """The epoch of a step, and its place therein, both from 0; groups: how many each epoch has."""
    epoch = 0
    while step >= groups[epoch]:
        step -= groups[epoch]
        epoch += 1
    return epoch, step


def perplexity(summed: list[float], tokens: list[int]) -> float:
    """Of a validation set, from each batch's summed loss and number of tokens."""
    return math.exp(sum(summed) / sum(tokens))


def each(summed: list[float], tokens: list[int]) -> list[float]:
    """The mean loss of each batch."""
    return [loss / n for loss, n in zip(summed, tokens, strict=True)]


EXERCISES = {
    "optimizer-1": predicted(
        64_000,
        {
            "There it is half the peak; at step 1,000 it was a quarter.": 16_000,
            "That is the peak.": 4000,
            "It falls with the root of the step, not as steeply as it rose.": 7000,
        },
    ),
    "optimizer-2": Exercise(
        lambda peak, d_model, warmup: peak / learning_rate(warmup, d_model, warmup),
        lambda: [(7e-4, 128, 400), (1e-3, 512, 4000), (5e-4, 64, 100)],
        {
            "The width is missing: the peak falls with its root.": (
                lambda peak, d_model, warmup: peak * math.sqrt(warmup)
            ),
            "The warm-up is missing: the peak falls with its root.": (
                lambda peak, d_model, warmup: peak * math.sqrt(d_model)
            ),
            "Upside down: that is the peak of equation 3 over the one that you want.": (
                lambda peak, d_model, warmup: learning_rate(warmup, d_model, warmup) / peak
            ),
            "The root is missing.": lambda peak, d_model, warmup: peak * d_model * warmup,
        },
    ),
    "optimizer-6": Exercise(
        clipped,
        lambda: [
            ([torch.tensor([2.0, 1.0]), torch.tensor([[2.0, 4.0]])], 1.0),
            ([torch.tensor([0.3, 0.4]), torch.tensor([0.1])], 1.0),
            ([torch.randn(3), torch.randn(2, 2)], 0.5),
        ],
        {
            "Each was shortened by itself: that turns the gradient of the whole.": (
                lambda gradients, most: [clipped([g], most)[0] for g in gradients]
            ),
            "Each number was cut by itself: that turns the gradient.": (
                lambda gradients, most: [g.clamp(-most, most) for g in gradients]
            ),
            "A gradient that is short enough must stay as it is.": (
                lambda gradients, most: [
                    g / math.sqrt(sum(one.square().sum().item() for one in gradients)) * most
                    for g in gradients
                ]
            ),
            "Lengths do not add up, their squares do.": sum_clipped,
            "The length is the root of the sum of squares.": (
                lambda gradients, most: [
                    g * min(1.0, most / sum(one.square().sum().item() for one in gradients))
                    for g in gradients
                ]
            ),
            "As one long vector they are longer than the longest of them.": (
                lambda gradients, most: [
                    g * min(1.0, most / max(one.norm().item() for one in gradients))
                    for g in gradients
                ]
            ),
        },
    ),
    "regularization-1": Exercise(
        lambda V, eps: math.log((1 - eps) * V / eps + 1),
        lambda: [(4, 0.1), (50, 0.1), (37_000, 0.3)],
        {
            "The right token gets its eps/V, too.": lambda V, eps: math.log((1 - eps) * V / eps),
            "That is for eps/(V-1) on every wrong token; here every token gets eps/V.": (
                lambda V, eps: math.log((1 - eps) * (V - 1) / eps)
            ),
            "eps is shared among V tokens.": lambda V, eps: math.log((1 - eps) / eps),
            "That is the ratio of the probabilities: the logits are its logarithm apart.": (
                lambda V, eps: (1 - eps) * V / eps + 1
            ),
        },
    ),
    "regularization-3": predicted(
        0.28,
        {
            "The rates do not add up: the second drops a share of what is left.": 0.3,
            "That is the chance to be dropped twice.": 0.02,
            "That is the chance to survive.": 0.72,
        },
    ),
    "regularization-5": Exercise(
        lambda x, rate, luck: torch.where(luck < rate, 0.0, x / (1 - rate)),
        lambda: [(torch.randn(8), rate, torch.rand(8)) for rate in (0.25, 0.1, 0.0)],
        {
            "What stays must grow, so that the average stays: divide by 1 - rate.": (
                lambda x, rate, luck: torch.where(luck < rate, 0.0, x)
            ),
            "What stays is divided by 1 - rate, not multiplied.": (
                lambda x, rate, luck: torch.where(luck < rate, 0.0, x * (1 - rate))
            ),
            "The rate is the share that goes, not the share that stays.": (
                lambda x, rate, luck: torch.where(luck < rate, x / (1 - rate), 0.0)
            ),
            "That divides by the rate of what goes; divide by that of what stays.": (
                lambda x, rate, luck: torch.where(luck < rate, 0.0, x / rate if rate else x)
            ),
        },
    ),
    "training-4": Exercise(
        place,
        lambda: [(0, [3, 4, 3]), (3, [3, 4, 3]), (8, [3, 4, 3]), (6, [3, 4, 3])],
        {
            "Steps count from 0 here: the first reads group 0 of epoch 0.": (
                lambda step, groups: place(max(step - 1, 0), groups)
            ),
            "Epochs differ in length: they are cut anew, so count each of them.": (
                lambda step, groups: divmod(step, groups[0])
            ),
            "The place begins anew at 0 in each epoch.": (
                lambda step, groups: (place(step, groups)[0], step)
            ),
        },
    ),
    "training-5": Exercise(
        perplexity,
        lambda: [([30.0, 10.0], [10, 5]), ([8.0], [4]), ([2.0, 90.0, 9.0], [1, 30, 6])],
        {
            "A mean of means: a token of a small batch counts for more there.": (
                lambda summed, tokens: math.exp(sum(each(summed, tokens)) / len(summed))
            ),
            "The exponential comes last: that is a mean of perplexities.": (
                lambda summed, tokens: sum(map(math.exp, each(summed, tokens))) / len(summed)
            ),
            "Divide by the number of tokens, not of batches.": (
                lambda summed, tokens: math.exp(sum(summed) / len(summed))
            ),
            "That is the loss: its exponential is the perplexity.": (
                lambda summed, tokens: sum(summed) / sum(tokens)
            ),
            "The loss is in nats: the base is e, not 2.": (
                lambda summed, tokens: 2 ** (sum(summed) / sum(tokens))
            ),
        },
    ),
}
