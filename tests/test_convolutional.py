"""Convolutions from their equations: contiguous, dilated, separable (Section 4, Table 1)."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from annotated.evidence.convolutional import Convolution, SeparableConvolution, windows


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_a_window_holds_a_position_and_its_neighbors():
    x = torch.arange(1, 6)[:, None]  # (S, D)
    assert windows(x, 3)[..., 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0]]
    assert windows(x, 3, gap=2)[:2, :, 0].tolist() == [[0, 1, 3], [0, 2, 4]]
    assert torch.equal(windows(x, 1)[:, 0], x)


def test_windows_leave_what_stands_before_alone():
    x = normal(2, 3, 7, 4)
    assert windows(x, 5).shape == (2, 3, 7, 5, 4)
    assert_close(windows(x, 5)[1, 2], windows(x[1, 2], 5))


@pytest.mark.parametrize("width", [0, 2, -1])
def test_a_window_has_a_middle(width):
    with pytest.raises(ValueError, match=f"width {width} is not odd"):
        windows(normal(4, 2), width)


@pytest.mark.parametrize("gap", [1, 3])
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_convolution_equals_pytorchs_forward_and_backward(width, gap):
    ours = Convolution(6, width, gap).double()
    theirs = nn.Conv1d(6, 6, width, padding="same", dilation=gap, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(ours.map.weight.unflatten(1, (width, 6)).mT)
        theirs.bias.copy_(ours.map.bias)
    x, direction = normal(2, 9, 6).requires_grad_(), normal(2, 9, 6)
    y, z = ours(x), theirs(x.mT).mT
    assert_close(y, z, rtol=0, atol=1e-14)
    mine, its = (torch.autograd.grad(out, x, direction) for out in (y, z))
    assert_close(mine, its, rtol=0, atol=1e-13)


@pytest.mark.parametrize("gap", [1, 3])
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_separable_convolution_is_two_of_pytorchs(width, gap):
    ours = SeparableConvolution(6, width, gap).double()
    each = nn.Conv1d(6, 6, width, padding="same", dilation=gap, groups=6, bias=False)
    mixed = nn.Conv1d(6, 6, 1)
    each.double(), mixed.double()
    with torch.no_grad():
        each.weight.copy_(ours.kernel.T[:, None])
        mixed.weight.copy_(ours.map.weight[..., None])
        mixed.bias.copy_(ours.map.bias)
    x, direction = normal(2, 9, 6).requires_grad_(), normal(2, 9, 6)
    y, z = ours(x), mixed(each(x.mT)).mT
    assert_close(y, z, rtol=0, atol=1e-14)
    mine, its = (torch.autograd.grad(out, x, direction) for out in (y, z))
    assert_close(mine, its, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layer", [Convolution, SeparableConvolution])
def test_a_position_sees_its_window_and_no_more(layer):
    x = normal(1, 9, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(4, 3, 2).double()(x)[0, 4].sum(), x)
    assert (gradient[0] != 0).any(-1).nonzero().flatten().tolist() == [2, 4, 6]


def test_the_number_of_weights():
    def count(layer):
        return sum(weights.numel() for weights in layer.parameters())

    assert count(Convolution(6, 5)) == 5 * 6 * 6 + 6
    assert count(SeparableConvolution(6, 5)) == 5 * 6 + 6 * 6 + 6
