"""Feed forward: equation 2, the same at every position (Section 3.3)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from annotated.model.feed_forward import FeedForward

leading = st.lists(st.integers(1, 4), max_size=3)


def make(d_model: int = 6, d_ff: int = 10, dropout: float = 0.0) -> FeedForward:
    torch.manual_seed(0)
    return FeedForward(d_model, d_ff, dropout).double()


def data(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


@settings(deadline=None)
@given(leading=leading, d_model=st.integers(1, 8), d_ff=st.integers(1, 8))
def test_all_leading_dimensions_come_back(leading: list[int], d_model: int, d_ff: int):
    assert make(d_model, d_ff)(data(*leading, d_model)).shape == (*leading, d_model)


def test_it_is_equation_2():
    network, x = make(), data(2, 5, 6)
    w1, b1 = network.inner.weight.T, network.inner.bias
    w2, b2 = network.outer.weight.T, network.outer.bias
    assert_close(network(x), torch.clamp(x @ w1 + b1, min=0) @ w2 + b2)


def test_it_bends():
    network, x = make(), data(5, 6)
    assert not torch.allclose(network(x) + network(-x), 2 * network(torch.zeros_like(x)))


@settings(deadline=None)
@given(order=st.permutations(range(5)))
def test_permuting_positions_permutes_outputs(order: list[int]):
    network, x = make(), data(2, 5, 6)
    assert_close(network(x[:, order]), network(x)[:, order])


def test_a_position_depends_on_itself_alone():
    network, x = make(), data(1, 5, 6)
    changed = x.clone()
    changed[:, 3] += 1
    differs = (network(x) != network(changed)).any(-1)
    assert differs.tolist() == [[False, False, False, True, False]]


def test_it_is_two_convolutions_of_width_one():
    network, x = make(), data(2, 5, 6)
    wide = nn.Conv1d(6, 10, 1, dtype=torch.float64)
    narrow = nn.Conv1d(10, 6, 1, dtype=torch.float64)
    wide.load_state_dict({"weight": network.inner.weight[..., None], "bias": network.inner.bias})
    narrow.load_state_dict({"weight": network.outer.weight[..., None], "bias": network.outer.bias})
    assert_close(narrow(wide(x.mT).relu()).mT, network(x))


def test_gradients_agree_with_differences():
    network = make(3, 4)
    assert torch.autograd.gradcheck(network, (data(2, 3).requires_grad_(),))


def test_the_number_of_weights():
    assert sum(p.numel() for p in make(6, 10).parameters()) == 2 * 6 * 10 + 10 + 6


def test_dropout_is_off_unless_asked_for():
    network, x = FeedForward(6, 10), torch.randn(50, 6)
    assert network(x).equal(network.eval()(x))


def test_dropout_falls_on_the_hidden_numbers_in_training_only():
    network, x = make(dropout=0.5), data(50, 6)
    seen = []
    network.outer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    network(x)
    whole = network.inner(x).relu()
    kept = seen[0] != 0
    assert_close(seen[0][kept], 2 * whole[kept])  # what is kept is scaled by 1 / (1 - 0.5)
    assert kept.sum() < (whole != 0).sum()
    network.eval()
    network(x)
    assert seen[1].equal(whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_of_the_weights_comes_out(dtype: torch.dtype):
    network = FeedForward(6, 10).to(dtype)
    assert network(torch.randn(2, 6, dtype=dtype)).dtype == dtype


def test_it_builds_and_runs_without_memory():
    with torch.device("meta"):
        network = FeedForward(1024, 4096)
        assert network(torch.empty(2, 5, 1024)).shape == (2, 5, 1024)
    assert all(p.is_meta for p in network.parameters())


def test_the_wrong_width_is_an_error():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make(6, 10)(data(2, 7))


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_dropout_that_is_no_probability_is_an_error(dropout: float):
    with pytest.raises(ValueError, match="dropout probability"):
        FeedForward(6, 10, dropout)
