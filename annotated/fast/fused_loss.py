# Tangled from chapters/fast/fused-loss.md: change it there, then run `make tangle`.
"""The smoothed loss without the logits: chunk by chunk, with its gradients (Section 5.4)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def turn_into_gradient(
    logits: Tensor, target: Tensor, smoothing: float, scale: Tensor | float = 1.0
) -> Tensor:
    """The smoothed losses (n, 1) of logits (n, V) against target (n,).

    What was the logits then holds the gradient of the losses by them, softmax minus q, times scale.
    """
    right = target[:, None]  # (n, 1)
    logits -= logits.amax(-1, keepdim=True)  # the same softmax, and exp cannot overflow
    wanted = (1 - smoothing) * logits.gather(-1, right) + smoothing * logits.mean(-1, keepdim=True)
    total = logits.exp_().sum(-1, keepdim=True)  # (n, 1)
    logits.mul_(scale / total).sub_(scale * smoothing / logits.size(-1))
    logits.scatter_add_(-1, right, torch.full_like(wanted, smoothing - 1) * scale)
    return total.log() - wanted


def loss_and_gradients(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float,
    chunk: int,
    scale: Tensor,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The summed loss of x (N, D), weight (V, D), target (N,); its gradients times scale ().

    `wanted` says which gradients to compute, those by x and by weight; the other is None.
    """
    low = (x[:0] @ weight[:0].T).dtype  # of the products: 16 bits under autocast
    wide = torch.promote_types(low, torch.float32)  # of the sums
    rows, matrix = x.to(low), weight.to(low)
    grad_x = torch.empty_like(x) if wanted[0] else None
    grad_weight = torch.zeros_like(weight, dtype=wide) if wanted[1] else None
    loss = torch.zeros((), dtype=wide, device=x.device)
    buffer = rows.new_empty(min(chunk, len(x)), len(weight))  # (chunk, V), for all chunks
    for start in range(0, len(x), chunk):
        here = slice(start, start + chunk)
        few = rows[here]  # (n, D)
        logits = torch.mm(few, matrix.T, out=buffer[: len(few)]).to(wide)  # (n, V)
        loss += turn_into_gradient(logits, target[here], smoothing, scale).sum()
        gradient = logits.to(low)
        if grad_x is not None:
            grad_x[here] = gradient @ matrix
        if grad_weight is not None:
            add_product(grad_weight, gradient.T, few)
    return loss, grad_x, grad_weight


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b, without a matrix in between where all have one precision."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


class FusedLoss(torch.autograd.Function):
    """x (N, D), weight (V, D), target (N,) -> the summed smoothed loss, `chunk` rows at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        chunk: int,
        scale: Tensor,
    ) -> Tensor:
        """The loss; its gradients, times scale (), are computed with it and wait in ctx."""
        wanted = ctx.needs_input_grad[:2]
        loss, *gradients = loss_and_gradients(x, weight, target, smoothing, chunk, scale, wanted)
        ctx.save_for_backward(scale, *gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients by x and weight, times the scalar that comes from after the loss."""
        scale, *gradients = ctx.saved_tensors
        left = upstream / scale  # 1, where all was known beforehand
        return (*(None if g is None else g * left for g in gradients), None, None, None, None)


def fused_loss(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float = 0.1,
    pad: int = 0,
    chunk: int = 512,
    scale: Tensor | None = None,
) -> Tensor:
    """`smoothed_loss(x @ weight.T, target, smoothing, pad)`, but the logits never exist whole.

    x (..., D) from the decoder, weight (V, D) of the shared embedding, target (...) of ids. Returns
    a scalar in nats, summed over the tokens that are not padding, with gradients for x and weight
    (first ones only). There are logits for `chunk` positions at a time: (chunk, V), not (N, V).
    scale (), if given, is what the caller will multiply the loss by: the gradients stay the same,
    and in fp16 they do not vanish before that.
    """
    if chunk < 1:
        raise ValueError(f"chunk is a number of positions, at least 1, not {chunk}")
    if not torch.is_grad_enabled():  # nobody will ask for gradients, so none are computed
        x, weight = x.detach(), weight.detach()
    real = target != pad
    scale = weight.new_ones(()) if scale is None else scale
    return FusedLoss.apply(x[real], weight, target[real], smoothing, chunk, scale)
