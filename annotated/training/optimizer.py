# Tangled from chapters/training/optimizer.md: change it there, then run `make tangle`.
"""Adam and the schedule of its learning rate (Section 5.3)."""

import torch
from torch import nn

BETAS, EPS = (0.9, 0.98), 1e-9  # PyTorch's own are (0.9, 0.999) and 1e-8


def adam(model: nn.Module) -> torch.optim.Adam:
    """Adam with the paper's constants; its learning rate is set before each step.

    All weights move in one fused pass where PyTorch has one for their device, else in
    PyTorch's usual way. Both keep the same state.
    """
    try:
        return torch.optim.Adam(model.parameters(), lr=0.0, betas=BETAS, eps=EPS, fused=True)
    except RuntimeError:  # PyTorch 2.3 has it on GPUs only
        return torch.optim.Adam(model.parameters(), lr=0.0, betas=BETAS, eps=EPS)


def learning_rate(step: int, d_model: int, warmup: int = 4000, scale: float = 1.0) -> float:
    """The learning rate of a step, counted from 1 (equation 3), times `scale`.

    Raises ValueError where step or warmup is less than 1.
    """
    if step < 1 or warmup < 1:
        raise ValueError(f"step and warmup count from 1, not {step} and {warmup}")
    return scale * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
