# Tangled from chapters/6-1-speed.md: change it there, then run `make tangle`.
"""A trained model made ready for decoding: in float32, or with weights of 8 bits (Section 6.1)."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.attention import MultiHeadAttention
from annotated.embeddings import SharedEmbedding
from annotated.transformer import Transformer, parameter_count


class PackedLinear(nn.Module):
    """x W^T + b with a W that lies in memory in the order in which oneDNN reads it."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        """weight (O, I) in float32 on a CPU, bias (O,)"""
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)"""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


STEPS = 127  # in 8 bits, from zero to the largest value
TINY = torch.tensor(torch.finfo(torch.float32).tiny)  # so that the step of a row of zeros is not 0


def step_size(x: Tensor) -> Tensor:
    """x (..., I) -> the size of a step for each row (..., 1)"""
    return torch.add(TINY, x.abs().amax(-1, keepdim=True), alpha=1 / STEPS)


def in_steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (..., I) -> int8 (..., I) and the size of a step for each row (..., 1)"""
    step = step_size(x)
    return (x / step).round_().char(), step  # char: int8


class Int8Linear(nn.Module):
    """x W^T + b with a W of 8 bits; the x that come in are rounded to 8 bits too."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        """weight (O, I) in float32, bias (O,)"""
        super().__init__()
        whole, step = in_steps(weight.detach())  # (O, I), (O, 1)
        self.keep(whole, step.flatten())
        self.bias = None if bias is None else bias.detach()

    def keep(self, whole: Tensor, step: Tensor) -> None:
        """The weights, as int8 (O, I) and the size of a step for each row (O,)."""
        self.columns, self.step = whole.T, step  # (I, O), the same bytes

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)"""
        step = step_size(x)  # (..., 1)
        y = self.product(x / step).mul_(step)  # (..., O)
        return y if self.bias is None else y.add_(self.bias)

    def product(self, x: Tensor) -> Tensor:
        """x (..., I) in steps, not yet rounded -> the rounded x times W^T (..., O)"""
        rows = x.flatten(0, -2).round_().char()  # (N, I)
        y = torch._int_mm(rows, self.columns).float().mul_(self.step)  # (N, O)
        return y.view(*x.shape[:-1], -1)  # (..., O)


class PackedInt8Linear(Int8Linear):
    """`Int8Linear` with a W that lies in memory in the order in which FBGEMM reads it."""

    def keep(self, whole: Tensor, step: Tensor) -> None:
        """The weights as int8 (O, I), and the size of a step for each row (O,)."""
        zeros = torch.zeros(len(step), dtype=torch.int64)  # the integer that stands for 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that such tensors will go
            signed = torch._make_per_channel_quantized_tensor(whole, step.double(), zeros, 0)
        self.packed = torch.ops.quantized.linear_prepack(signed, None)

    def product(self, x: Tensor) -> Tensor:
        """x (..., I) in steps, which is rounded here -> x W^T (..., O)"""
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        return multiply(x, 1.0, STEPS + 1, self.packed)  # a step is 1; 0.0 is stored as 128


def can(make: Callable[[Tensor], nn.Module]) -> bool:
    """Whether this PyTorch and processor have such a product, and no sum in it overflows."""
    ones = torch.ones(8, 64)
    try:
        return torch.allclose(make(ones)(ones), ones @ ones.T)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


LONG = 512  # weights in a row: with shorter rows, a call of FBGEMM takes longer than it spares


def int8_linear(weight: Tensor, bias: Tensor | None = None) -> Int8Linear:
    """The faster of the two for rows of this length; where there is but one of them, that."""
    packs = weight.size(1) >= LONG
    order = (PackedInt8Linear, Int8Linear) if packs else (Int8Linear, PackedInt8Linear)
    return next(filter(can, order), Int8Linear)(weight, bias)


class Int8Embedding(nn.Module):
    """`SharedEmbedding` with a matrix of 8 bits."""

    def __init__(self, embedding: SharedEmbedding):
        super().__init__()
        self.rows, step = in_steps(embedding.weight.detach())  # (V, D), (V, 1)
        self.scale = step * math.sqrt(embedding.weight.size(1))  # (V, 1)
        self.matrix = int8_linear(embedding.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """integer ids (...) -> (..., D)"""
        flat = tokens.flatten()  # (N,)
        x = self.rows.index_select(0, flat) * self.scale.index_select(0, flat)  # (N, D)
        return x.unflatten(0, tokens.shape)  # (..., D)

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return self.matrix(x)


def side_by_side(maps: Sequence[nn.Linear], heads: int) -> nn.Linear:
    """Maps of the same input as one: first what they give to head 0, one after the other."""

    def joined(parts: Sequence[Tensor]) -> nn.Parameter:
        cut = [part.detach().unflatten(0, (heads, -1)) for part in parts]  # (H, K, ...)
        return nn.Parameter(torch.cat(cut, 1).flatten(0, 1))

    weight = joined([each.weight for each in maps])
    one = nn.Linear(weight.size(1), weight.size(0), maps[0].bias is not None, device="meta")
    one.weight = weight
    if one.bias is not None:
        one.bias = joined([each.bias for each in maps])
    return one


class SelfAttention(nn.Module):
    """`MultiHeadAttention` of x on itself: queries, keys and values from one product."""

    def __init__(self, separate: MultiHeadAttention):
        super().__init__()
        maps = [separate.query, separate.key, separate.value]
        self.heads = separate.heads
        self.widths = [each.out_features // self.heads for each in maps]  # K, K, K'
        self.maps = side_by_side(maps, self.heads)
        self.output = separate.output

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, D) -> its queries and keys (B, H, T, K) and values (B, H, T, K')."""
        together = self.maps(x).unflatten(-1, (self.heads, -1))  # (B, T, H, 2 K + K')
        return together.transpose(1, 2).split(self.widths, -1)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, T, D), which is the memory too -> (B, T, D)"""
        query, key, value = self.project(x)
        heads = F.scaled_dot_product_attention(query, key, value, mask)  # (B, H, T, K')
        return self.output(self.merge(heads))

    merge = staticmethod(MultiHeadAttention.merge)


LITTLE = 50_000_000  # multiplications in a step: with fewer, sharing takes longer than it spares


@contextmanager
def threads_for(model: Transformer, rows: int) -> Iterator[None]:
    """In here PyTorch works with one thread, if a step of so many rows is too little to share.

    rows: of a step, sentences times beam.
    """
    threads = torch.get_num_threads()
    if rows * parameter_count(model.config) < LITTLE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class PackedEmbedding(nn.Module):
    """`SharedEmbedding` that has its matrix a second time, packed, for the logits."""

    def __init__(self, embedding: SharedEmbedding):
        super().__init__()
        self.rows = embedding
        self.packed = PackedLinear(embedding.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """integer ids (...) -> (..., D)"""
        return self.rows(tokens)

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return self.packed(x)


Exchange = tuple[type[nn.Module], Callable[[Any], nn.Module]]  # parts of this type, for these
NO_DROPOUT: Exchange = (nn.Dropout, lambda part: nn.Identity())
PACKED: list[Exchange] = [
    (SharedEmbedding, PackedEmbedding),
    (nn.Linear, lambda part: PackedLinear(part.weight, part.bias)),
]
INT8: list[Exchange] = [
    (SharedEmbedding, Int8Embedding),
    (nn.Linear, lambda part: int8_linear(part.weight, part.bias)),
]


def exchange(model: Transformer, *exchanges: Exchange) -> Transformer:
    """A copy of the model in evaluation mode, with some of its parts exchanged."""
    if any(isinstance(part, SelfAttention) for part in model.modules()):
        raise ValueError("this model has been made ready for decoding already")
    model = copy.deepcopy(model).eval()
    layers: list[Any] = [*model.encoder.layers, *model.decoder.layers]
    for layer in layers:
        layer.self_attention = SelfAttention(layer.self_attention)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            for kind, make in exchanges:
                if isinstance(child, kind):
                    setattr(parent, name, make(child))
    return model


def has_packed_products() -> bool:
    """Whether this PyTorch multiplies by packed float32 matrices on a CPU."""
    return can(PackedLinear)


def has_int8_products() -> bool:
    """Whether this PyTorch multiplies int8 matrices on a CPU."""
    return can(int8_linear)


def prepare(model: Transformer) -> Transformer:
    """A copy of the model for decoding on the device where it is; it computes the same.

    Raises ValueError where the model has been made ready before.
    """
    weight = next(model.parameters())
    packs = weight.device.type == "cpu" and weight.dtype == torch.float32 and has_packed_products()
    return exchange(model, NO_DROPOUT, *(PACKED if packs else []))


def quantize(model: Transformer) -> Transformer:
    """A copy of the model for decoding on a CPU, with matrices of 8 bits a weight.

    Raises ValueError where the model is on another device or has been made ready before, or
    where PyTorch has no such product.
    """
    if next(model.parameters()).device.type != "cpu" or not has_int8_products():
        raise ValueError("8-bit weights need a CPU and a PyTorch that multiplies int8 matrices")
    return exchange(model, NO_DROPOUT, *INT8)
