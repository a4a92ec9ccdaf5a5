# Tangled from chapters/5-3-optimizer.md: change it there, then run `make tangle`.
"""Adam and the schedule of its learning rate (Section 5.3)."""

import torch
from torch import nn


def adam(model: nn.Module) -> torch.optim.Adam:
    """Adam with the paper's constants; its learning rate is set before each step."""
    return torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9)


def learning_rate(step: int, d_model: int, warmup: int = 4000, scale: float = 1.0) -> float:
    """The learning rate of a step, counted from 1 (equation 3), times `scale`.

    Raises ValueError where step or warmup is less than 1.
    """
    if step < 1 or warmup < 1:
        raise ValueError(f"step and warmup count from 1, not {step} and {warmup}")
    return scale * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
