# Tangled from chapters/fast/r-drop.md: change it there, then run `make tangle`.
"""R-Drop: two dropouts of a batch that have to agree (Liang et al. 2021; not in the paper)."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def agreeing_loss(
    first: Tensor, second: Tensor, weight: Tensor, target: Tensor, smoothing: float, r_drop: float
) -> Tensor:
    """`r_drop_loss` of few enough rows (n, D) that there can be logits (n, V) for all of them."""
    one, other = (F.linear(x, weight).float().log_softmax(-1) for x in (first, second))  # (n, V)
    both = (one + other) / 2
    right, mean = both.gather(-1, target[:, None]).sum(), both.mean(-1).sum()
    apart = ((one.exp() - other.exp()) * (one - other)).sum() / 2  # the mean of two divergences
    return r_drop * apart - (1 - smoothing) * right - smoothing * mean


def r_drop_loss(
    first: Tensor,
    second: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float = 0.1,
    r_drop: float = 1.0,
    pad: int = 0,
    chunk: int = 128,
) -> Tensor:
    """The mean smoothed loss of two dropouts of a batch, plus `r_drop` times their disagreement.

    first and second (N, D) from the decoder, weight (V, D) of the shared embedding, target (N,) of
    ids. The disagreement of p and p' is the mean of KL(p || p') and KL(p' || p) (R-Drop, Liang et
    al. 2021; r_drop is half of their alpha). Returns a scalar in nats, summed over the tokens that
    are not padding. There are logits for `chunk` positions at a time, and once more in backward.
    """
    if chunk < 1:
        raise ValueError(f"chunk is a number of positions, at least 1, not {chunk}")
    real = target != pad
    parts = zip(*(x[real].split(chunk) for x in (first, second, target)), strict=True)
    losses = [
        checkpoint(agreeing_loss, a, b, weight, right, smoothing, r_drop, use_reentrant=False)
        for a, b, right in parts
    ]
    return torch.stack(losses).sum()
