# Tangled from chapters/6-1-speed.md: change it there, then run `make tangle`.
"""A trained model made ready for decoding: in float32, or with weights of 8 bits (Section 6.1)."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from annotated.embeddings import SharedEmbedding
from annotated.transformer import Transformer

STEPS = 127  # in 8 bits, from zero to the largest value


def in_steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (..., I) -> int8 (..., I) and the size of a step for each row (..., 1)"""
    step = x.abs().amax(-1, keepdim=True) / STEPS
    step.clamp_(min=torch.finfo(x.dtype).tiny)  # a row of zeros stays one
    return (x / step).round_().to(torch.int8), step


class Int8Linear(nn.Module):
    """x W^T + b with a W of 8 bits; the x that come in are rounded to 8 bits too."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        """weight (O, I) in float32, bias (O,)"""
        super().__init__()
        self.weight, step = in_steps(weight.detach())  # (O, I), (O, 1)
        self.columns = self.weight.T  # (I, O), the same bytes
        self.step = step.flatten()  # (O,)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)"""
        rows, step = in_steps(x.flatten(0, -2))  # (N, I), (N, 1)
        y = torch._int_mm(rows, self.columns) * self.step  # (N, O)
        y = y.mul_(step) if self.bias is None else y.mul_(step).add_(self.bias)
        return y.unflatten(0, x.shape[:-1])


class Int8Embedding(nn.Module):
    """`SharedEmbedding` with a matrix of 8 bits."""

    def __init__(self, embedding: SharedEmbedding):
        super().__init__()
        self.matrix = Int8Linear(embedding.weight)
        self.scale = math.sqrt(embedding.weight.size(1))

    def forward(self, tokens: Tensor) -> Tensor:
        """integer ids (...) -> (..., D)"""
        step = self.matrix.step[tokens].unsqueeze(-1) * self.scale  # (..., 1)
        return self.matrix.weight[tokens] * step

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return self.matrix(x)


class ColumnEmbedding(nn.Module):
    """`SharedEmbedding` that has its matrix a second time, as (D, V), for the logits."""

    def __init__(self, embedding: SharedEmbedding):
        super().__init__()
        self.rows = embedding
        self.columns = embedding.weight.detach().T.contiguous()  # (D, V)

    def forward(self, tokens: Tensor) -> Tensor:
        """integer ids (...) -> (..., D)"""
        return self.rows(tokens)

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return x @ self.columns


Exchange = tuple[type[nn.Module], Callable[[Any], nn.Module]]  # parts of this type, for these
NO_DROPOUT: Exchange = (nn.Dropout, lambda part: nn.Identity())


def exchange(model: Transformer, *exchanges: Exchange) -> Transformer:
    """A copy of the model in evaluation mode, with some of its parts exchanged."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            for kind, make in exchanges:
                if isinstance(child, kind):
                    setattr(parent, name, make(child))
    return model


def prepare(model: Transformer) -> Transformer:
    """A copy of the model for decoding in float32; what it computes is the same."""
    return exchange(model, (SharedEmbedding, ColumnEmbedding), NO_DROPOUT)


def has_int8_products() -> bool:
    """Whether this PyTorch multiplies int8 matrices on a CPU."""
    try:
        torch._int_mm(torch.ones(1, 8, dtype=torch.int8), torch.ones(8, 8, dtype=torch.int8))
    except (AttributeError, RuntimeError):
        return False
    return True


def quantize(model: Transformer) -> Transformer:
    """A copy of the model for decoding on a CPU, with matrices of 8 bits a weight.

    Raises ValueError where the model is on another device, or PyTorch has no such product.
    """
    if next(model.parameters()).device.type != "cpu" or not has_int8_products():
        raise ValueError("8-bit weights need a CPU and a PyTorch that multiplies int8 matrices")
    linear: Exchange = (nn.Linear, lambda part: Int8Linear(part.weight, part.bias))
    return exchange(model, (SharedEmbedding, Int8Embedding), linear, NO_DROPOUT)
