# Tangled from chapters/fast/decoding-speed.md: change it there, then run `make tangle`.
"""Weights of 8 bits; the threads and the products that suit a step of decoding (Section 6.1)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.fast.matmul_precision import choose_matmul_precision
from annotated.model.transformer import Transformer
from annotated.translation.hypotheses import Hypothesis, Translator

LITTLE = 50_000_000  # multiplications in a step: with fewer, sharing takes longer than it spares


@contextmanager
def threads_for(model: Transformer, rows: int) -> Iterator[None]:
    """In here PyTorch works with one thread, if a step of so many rows is too little to share.

    rows: of a step, sentences times beam.
    """
    threads = torch.get_num_threads()
    if rows * sum(weight.numel() for weight in model.parameters()) < LITTLE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


MANY = 128  # rows that tell as much of a product as more would
WIDER = 2  # times D: some matrices of a step are D wide, the largest is V


@cache
def fitting(rows: int, width: int) -> str:
    """The setting that `choose_matmul_precision` finds for these sizes, measured once."""
    return choose_matmul_precision(rows=rows, width=width)


@contextmanager
def matmul_precision_for(model: Transformer, rows: int) -> Iterator[None]:
    """In here float32 products on a CPU are computed as is fastest for a step of so many rows."""
    before, weight = torch.get_float32_matmul_precision(), model.embedding.weight
    if weight.device.type == "cpu" and weight.dtype == torch.float32:
        setting = fitting(min(rows, MANY), WIDER * model.config.d_model)
        torch.set_float32_matmul_precision(setting)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def tuned(ours: Translator, model: Transformer, beam: int, products: bool = False) -> Translator:
    """A model's translator, in as many threads as it has work for, and with fitting products."""

    def search(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        rows = len(encoded) * beam  # blank lines alone have none
        fast = matmul_precision_for(model, rows) if products and rows else nullcontext()
        with threads_for(model, rows), fast:
            return ours.search(encoded, n_best)

    return replace(ours, search=search)


STEPS = 127  # in 8 bits, from zero to the largest weight of a row


class Int8Linear(nn.Module):
    """x W^T + b with weights of 8 bits, in steps of one size for each row of W."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()  # (O, I)
        largest = weight.abs().amax(1, keepdim=True)  # (O, 1)
        self.step = largest.clamp(min=torch.finfo(weight.dtype).tiny) / STEPS  # (O, 1)
        self.whole = (weight / self.step).round().char()  # (O, I), int8
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """The weights as floats (O, I), each to the nearest step."""
        return self.whole * self.step

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)"""
        return F.linear(x, self.weight, self.bias)


def in_8_bits(model: Transformer) -> Transformer:
    """A copy of the model in evaluation mode, its linear maps with weights of 8 bits."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
    return model
