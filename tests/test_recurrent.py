"""The recurrent layer: an LSTM from its equations (Section 4, Table 1)."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from annotated.evidence.recurrent import LSTM


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def pair(d_model, d_in=None):
    """Ours and PyTorch's, with the same weights."""
    ours = LSTM(d_model, d_in).double()
    theirs = nn.LSTM(d_in or d_model, d_model, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input.weight)
        theirs.weight_hh_l0.copy_(ours.state.weight)
        theirs.bias_ih_l0.copy_(ours.input.bias)
        theirs.bias_hh_l0.zero_()
    return ours, theirs


@pytest.mark.parametrize("d_in", [None, 3, 9])
@pytest.mark.parametrize("begun", [False, True])
def test_it_equals_pytorchs_forward_and_backward(d_in, begun):
    ours, theirs = pair(6, d_in)
    x = normal(2, 5, d_in or 6).requires_grad_()
    start = (normal(2, 6), normal(2, 6)) if begun else None
    y, (hidden, cell) = ours(x, start)
    z, (its_hidden, its_cell) = theirs(x, start and tuple(part[None] for part in start))
    assert_close(y, z, rtol=0, atol=1e-14)
    assert_close((hidden, cell), (its_hidden[0], its_cell[0]), rtol=0, atol=1e-14)
    direction = normal(2, 5, 6)
    mine = torch.autograd.grad(y, [x, ours.input.weight, ours.state.weight], direction)
    its = torch.autograd.grad(z, [x, theirs.weight_ih_l0, theirs.weight_hh_l0], direction)
    assert_close(mine, its, rtol=0, atol=1e-12)


def test_shapes():
    y, (hidden, cell) = LSTM(6, d_in=4)(torch.randn(2, 5, 4))
    assert y.shape == (2, 5, 6) and hidden.shape == cell.shape == (2, 6)
    assert_close(y[:, -1], hidden)


def test_it_goes_on_from_where_it_stopped():
    layer, x = LSTM(6).double(), normal(2, 5, 6)
    whole, last = layer(x)
    first, between = layer(x[:, :2])
    rest, end = layer(x[:, 2:], between)
    assert_close(torch.cat([first, rest], 1), whole)
    assert_close(end, last)


def test_a_state_knows_what_was_read_and_nothing_later():
    layer, x = LSTM(6).double(), normal(1, 5, 6).requires_grad_()
    for t in range(5):
        (gradient,) = torch.autograd.grad(layer(x)[0][0, t].sum(), x)
        assert (gradient[0] != 0).any(-1).tolist() == [s <= t for s in range(5)]


def test_gates_keep_and_forget():
    layer = LSTM(3).double()
    with torch.no_grad():
        for weights in layer.parameters():
            weights.zero_()
        layer.input.bias[:3] = -100  # write nothing
        layer.input.bias[3:6] = 100  # keep everything
    start = (normal(1, 3), normal(1, 3))
    _, (_, cell) = layer(normal(1, 4, 3), start)
    assert_close(cell, start[1])
    with torch.no_grad():
        layer.input.bias[3:6] = -100  # keep nothing
    assert layer(normal(1, 4, 3), start)[1][1].abs().max() < 1e-12


def test_all_positions_can_take_a_step_at_once():
    """As many steps, side by side, as there are words: the states of the layer."""
    layer, x = LSTM(6).double(), normal(2, 5, 6)
    state = (torch.zeros_like(x), torch.zeros_like(x))
    for _ in range(5):
        shifted = tuple(nn.functional.pad(part[:, :-1], (0, 0, 1, 0)) for part in state)
        state = layer.step(layer.input(x), shifted)
    assert_close(state[0], layer(x)[0])
