# Tangled from chapters/fast/training-speed.md: change it there, then run `make tangle`.
"""Dropout with masks that are cheap to draw on a CPU (Section 5.4)."""

import torch
from torch import Tensor, nn

VALUES = 2**16  # of 16 random bits


class QuickDropout(nn.Dropout):
    """nn.Dropout on a CPU with 16 random bits a number; elsewhere nn.Dropout itself.

    The probability to stay is 1 - p, rounded to a multiple of 1 / 65,536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape"""
        keep = round((1 - self.p) * VALUES)
        if not self.training or keep in (0, VALUES) or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        values = words.view(torch.int16)[: x.numel()].view(x.shape)  # 4 of 16 bits in each word
        stays = (values < keep - VALUES // 2).to(x.dtype)
        return x * stays.mul_(VALUES / keep)


def quicken(model: nn.Module) -> None:
    """Put a QuickDropout in the place of every nn.Dropout of the model."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, QuickDropout(child.p).train(child.training))
