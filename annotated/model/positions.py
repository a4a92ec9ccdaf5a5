# Tangled from chapters/model/positions.md: change it there, then run `make tangle`.
"""Positional encodings: sinusoids as in the paper, and learned vectors (Section 3.5)."""

import torch
from torch import Tensor, nn


def sinusoids(length: int, d_model: int) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i/D)), PE(pos, 2i + 1) = cos of the same angle.

    Returns (length, D) float32: a row for each position from 0 on. Raises ValueError where D
    is odd: sines and cosines come in pairs.
    """
    if d_model % 2:
        raise ValueError(f"sinusoids come in pairs, so d_model must be even, not {d_model}")
    position = torch.arange(length, dtype=torch.float64)[:, None]  # (length, 1)
    exponent = torch.arange(0, d_model, 2, dtype=torch.float64) / d_model  # (D/2,)
    frequency = 10000.0**-exponent  # (D/2,)
    angle = position * frequency  # (length, D/2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()  # (length, D)


def positions_needed(x: Tensor, position: Tensor | None) -> int:
    """How many positions, from 0 on, hold all rows of x (B, T, D): T where nothing else is said."""
    if position is None:
        return x.size(-2)
    return int(position.max()) + 1 if len(position) else 0


class SinusoidalPositions(nn.Module):
    """Adds the sinusoids to a sequence; no parameters, any length.

    `length` is how many positions are computed in advance. The table grows when more are
    needed.
    """

    def __init__(self, d_model: int, length: int = 512):
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", sinusoids(length, d_model), persistent=False)

    def forward(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """x (B, T, D), and where its rows stand (T,), by default from 0 on -> (B, T, D)"""
        needed = positions_needed(x, position)
        if needed > self.table.size(0):  # longer than anything yet: grow to twice the need
            self.table = sinusoids(2 * needed, x.size(-1)).to(self.table)
        return x + self.table[slice(needed) if position is None else position]


class LearnedPositions(nn.Module):
    """Adds a learned vector for each position up to `length` (Table 3, row E).

    The table (length, D) is drawn from N(0, 1/D).
    """

    def __init__(self, d_model: int, length: int):
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, d_model))
        nn.init.normal_(self.table, std=d_model**-0.5)

    def forward(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """x (B, T, D), and where its rows stand (T,), by default from 0 on -> (B, T, D).

        ValueError past the end of the table.
        """
        needed, known = positions_needed(x, position), self.table.size(0)
        if needed > known:
            raise ValueError(f"{needed} positions are past the {known} that were learned")
        return x + self.table[slice(needed) if position is None else position]
