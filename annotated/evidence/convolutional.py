# Tangled from chapters/evidence/why-self-attention.md: change it there, then run `make tangle`.
"""Convolutions from their equations: contiguous, dilated, separable (Section 4, Table 1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def windows(x: Tensor, width: int, gap: int = 1) -> Tensor:
    """Each position with its neighbors: x (..., S, D) -> (..., S, k, D), k the width.

    The neighbors stand `gap` apart, the position itself in the middle; beyond the ends are zeros.
    ValueError: the width is even, so that there is no middle.
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"width {width} is not odd: a window has a middle")
    length, reach = x.size(-2), width // 2 * gap
    padded = F.pad(x, (0, 0, reach, reach))  # (..., reach + S + reach, D)
    starts = range(0, width * gap, gap)
    return torch.stack([padded[..., start : start + length, :] for start in starts], -2)


class Convolution(nn.Module):
    """A convolution of some odd width, the convolutional layer of Table 1.

    One linear map sees the window of a position. gap: 1 for a contiguous window, more for a
    dilated one.
    """

    def __init__(self, d_model: int, width: int, gap: int = 1):
        super().__init__()
        self.width, self.gap = width, gap
        self.map = nn.Linear(width * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)"""
        return self.map(windows(x, self.width, self.gap).flatten(-2))  # of (B, S, k D)


class SeparableConvolution(nn.Module):
    """A convolution in two: each feature along its window, then all features at each position.

    The separable convolution of Section 4; `gap` as in `Convolution`.
    """

    def __init__(self, d_model: int, width: int, gap: int = 1):
        super().__init__()
        self.width, self.gap = width, gap
        self.kernel = nn.Parameter(torch.empty(width, d_model).uniform_(-1, 1) / width**0.5)
        self.map = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)"""
        seen = windows(x, self.width, self.gap)  # (B, S, k, D)
        return self.map(torch.einsum("...kd,kd->...d", seen, self.kernel))
