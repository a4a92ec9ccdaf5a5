# Tangled from chapters/6-1-speed.md: change it there, then run `make tangle`.
"""A trained model made ready for decoding: in float32, or with weights of 8 bits (Section 6.1)."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from annotated.attention import MultiHeadAttention, attention
from annotated.embeddings import SharedEmbedding
from annotated.transformer import Transformer


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


def in_steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (..., I) -> int8 (..., I) and the size of a step for each row (..., 1)"""
    most = x.abs().amax(-1, keepdim=True)
    step = torch.add(TINY, most, alpha=1 / STEPS)
    return (x / step).round_().char(), step  # char: int8


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
        y = torch._int_mm(rows, self.columns) * step  # (N, O)
        y = y.mul_(self.step) if self.bias is None else torch.addcmul(self.bias, y, self.step)
        return y.view(*x.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """`SharedEmbedding` with a matrix of 8 bits."""

    def __init__(self, embedding: SharedEmbedding):
        super().__init__()
        self.matrix = Int8Linear(embedding.weight)
        self.scale = self.matrix.step[:, None] * math.sqrt(embedding.weight.size(1))  # (V, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """integer ids (...) -> (..., D)"""
        rows = self.matrix.weight.index_select(0, tokens.flatten())  # (N, D)
        x = rows * self.scale.index_select(0, tokens.flatten())
        return x.unflatten(0, tokens.shape)

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
        heads, _ = attention(query, key, value, mask)  # (B, H, T, K')
        return self.output(self.merge(heads))

    merge = staticmethod(MultiHeadAttention.merge)


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
    (nn.Linear, lambda part: Int8Linear(part.weight, part.bias)),
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


def can(product: Callable[[], Any]) -> bool:
    """Whether this PyTorch has such a product."""
    try:
        product()
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return True


def has_packed_products() -> bool:
    """Whether this PyTorch multiplies by packed float32 matrices on a CPU."""
    return can(lambda: PackedLinear(torch.ones(8, 8))(torch.ones(1, 8)))


def has_int8_products() -> bool:
    """Whether this PyTorch multiplies int8 matrices on a CPU."""
    return can(lambda: Int8Linear(torch.ones(8, 8))(torch.ones(1, 8)))


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
