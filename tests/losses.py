"""What the tests of the losses share."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that any operation returns."""

    most = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.most = max(self.most, tensor.numel())
        return result


def sure(count=40, width=16, vocabulary=37_000):
    """Places, exact in fp16, whose tokens are predicted well: other logits' gradients are tiny."""
    torch.manual_seed(0)
    x = torch.randn(count, width).half().float()
    weight = (torch.randn(vocabulary, width) / width**0.5).half().float()
    target = torch.randint(1, vocabulary, (count,))
    weight[target] = 3 * x
    return x.requires_grad_(), weight.requires_grad_(), target


def error_off_target(loss, exact, x, weight, target, factor):
    """How far the matrix's gradient in fp16 is from that in float64, in rows of no target."""
    with torch.autocast("cpu", torch.float16):
        value = loss(x, weight)
    (ours,) = torch.autograd.grad(value * factor, weight)
    (theirs,) = torch.autograd.grad(exact(x.double(), weight.double()), weight)
    others = torch.ones(len(weight), dtype=torch.bool).index_fill_(0, target, False)
    return ((ours / factor - theirs)[others].norm() / theirs[others].norm()).item()
