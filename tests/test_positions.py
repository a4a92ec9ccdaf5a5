"""Positions: sinusoids and learned positions (Section 3.5)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from annotated.model.positions import LearnedPositions, SinusoidalPositions, sinusoids

even = st.integers(1, 16).map(lambda half: 2 * half)


def rotation(k: int, d_model: int) -> Tensor:
    """The matrix R with PE(pos + k) = PE(pos) R."""
    angle = k * 10000.0 ** (-torch.arange(0, d_model, 2).double() / d_model)
    blocks = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1)
    return torch.block_diag(*blocks.view(-1, 2, 2))


@settings(deadline=None)
@given(length=st.integers(0, 40), d_model=even)
def test_the_table_is_the_papers_formula(length: int, d_model: int):
    table = sinusoids(length, d_model)
    assert table.shape == (length, d_model)
    assert table.dtype == torch.float32
    expected = [
        [
            (math.cos if feature % 2 else math.sin)(pos / 10000 ** (feature // 2 * 2 / d_model))
            for feature in range(d_model)
        ]
        for pos in range(length)
    ]
    assert_close(table, torch.tensor(expected).view(length, d_model), atol=1e-6, rtol=0)


@settings(deadline=None)
@given(short=st.integers(0, 20), more=st.integers(0, 20), d_model=even)
def test_a_longer_table_begins_with_the_shorter(short: int, more: int, d_model: int):
    assert sinusoids(short + more, d_model)[:short].equal(sinusoids(short, d_model))


def test_far_positions_are_exact():
    row = sinusoids(100_001, 8)[100_000]
    expected = [f(100_000 / 10000 ** (2 * i / 8)) for i in range(4) for f in (math.sin, math.cos)]
    assert_close(row, torch.tensor(expected), atol=1e-6, rtol=0)


def test_the_mean_square_is_one_half_everywhere():
    assert_close(sinusoids(200, 32).square().mean(1), torch.full((200,), 0.5))


@settings(deadline=None)
@given(start=st.integers(0, 50), k=st.integers(-40, 40), d_model=even)
def test_moving_on_is_a_rotation_that_does_not_depend_on_the_place(
    start: int, k: int, d_model: int
):
    table = sinusoids(100, d_model).double()
    position = start if start + k >= 0 else start - k
    expected = table[position + k]
    assert_close(table[position] @ rotation(k, d_model), expected, atol=1e-5, rtol=0)


def test_dot_products_depend_on_the_distance_only():
    table = sinusoids(60, 32).double()
    products = table @ table.T
    for k in range(60):
        diagonal = products.diagonal(k)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)


def test_all_positions_differ():
    apart = torch.cdist(sinusoids(600, 64), sinusoids(600, 64)) + 10 * torch.eye(600)
    assert apart.min() > 0.5


@pytest.mark.parametrize("d_model", [1, 7])
def test_an_odd_width_is_an_error(d_model: int):
    with pytest.raises(ValueError, match=f"even, not {d_model}"):
        sinusoids(5, d_model)
    with pytest.raises(ValueError, match="even"):
        SinusoidalPositions(d_model)


@settings(deadline=None)
@given(length=st.integers(0, 12), start=st.integers(0, 30), tokens=st.integers(0, 12), d_model=even)
def test_any_start_and_any_length_add_the_rows_of_the_table(
    length: int, start: int, tokens: int, d_model: int
):
    positions = SinusoidalPositions(d_model, length)
    x = torch.zeros(2, tokens, d_model)
    expected = sinusoids(start + tokens, d_model)[start:].expand(2, tokens, d_model)
    position = torch.arange(start, start + tokens) if tokens else None
    assert positions(x, position).equal(expected)
    assert positions(x, position).equal(expected)  # and once more, from the table as it is now


@pytest.mark.parametrize("kind", [SinusoidalPositions, LearnedPositions])
def test_each_row_gets_the_position_that_is_named(kind: type):
    positions, x = kind(8, length=20), torch.randn(2, 12, 8)
    whole = positions(x)
    for cut in range(12):
        assert positions(x[:, cut:], torch.arange(cut, 12)).equal(whole[:, cut:])
    order = torch.randperm(12)
    assert positions(x[:, order], order).equal(whole[:, order])
    assert positions(x[0, order], order).equal(whole[0, order])  # packed rows (N, D)
    same = positions(x[:, :3], torch.tensor([4]))  # three rows side by side at one position
    assert same.equal(x[:, :3] + positions.table[4])


@pytest.mark.parametrize("kind", [SinusoidalPositions, LearnedPositions])
def test_adding_keeps_the_shape_and_leaves_the_input_alone(kind: type):
    positions, x = kind(8, length=20), torch.randn(2, 20, 8)
    before = x.clone()
    added = positions(x) - x
    assert added.shape == (2, 20, 8)
    assert x.equal(before)
    assert_close(added, positions.table.detach().expand(2, 20, 8), atol=1e-6, rtol=0)


def test_the_table_grows_to_twice_the_need_and_only_when_it_must():
    positions = SinusoidalPositions(8, length=10)
    positions(torch.zeros(1, 10, 8))
    assert len(positions.table) == 10
    positions(torch.zeros(1, 3, 8), torch.arange(9, 12))
    assert len(positions.table) == 24
    grown = positions.table
    positions(torch.zeros(1, 24, 8))
    assert positions.table is grown


def test_the_table_keeps_its_type_when_it_grows():
    positions = SinusoidalPositions(8, length=4).to(torch.bfloat16)
    assert positions(torch.zeros(1, 9, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert positions.table.dtype == torch.bfloat16


def test_the_sinusoids_are_no_parameter_and_in_no_checkpoint():
    positions = SinusoidalPositions(8, length=4)
    positions(torch.zeros(1, 9, 8))  # grown
    assert list(positions.parameters()) == []
    assert positions.state_dict() == {}
    assert [name for name, _ in positions.named_buffers()] == ["table"]


def test_the_gradient_passes_the_sinusoids_unchanged():
    x = torch.randn(1, 5, 8, requires_grad=True)
    SinusoidalPositions(8)(x).sum().backward()
    assert x.grad.equal(torch.ones(1, 5, 8))


def test_learned_positions_are_one_parameter_of_the_documented_start():
    torch.manual_seed(0)
    positions = LearnedPositions(256, length=512)
    assert [(n, tuple(p.shape)) for n, p in positions.named_parameters()] == [("table", (512, 256))]
    assert positions.table.std().item() == pytest.approx(256**-0.5, rel=0.02)


def test_learned_positions_add_their_rows():
    positions = LearnedPositions(8, length=6)
    assert positions(torch.zeros(3, 2, 8), torch.tensor([4, 5])).equal(
        positions.table[4:6].expand(3, 2, 8)
    )


def test_only_rows_that_were_used_learn():
    positions = LearnedPositions(8, length=6)
    positions(torch.randn(2, 3, 8), torch.tensor([1, 2, 3])).square().sum().backward()
    touched = (positions.table.grad != 0).any(-1)
    assert touched.tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize(("tokens", "start"), [(7, 0), (1, 6), (3, 4)])
def test_past_the_learned_table_is_an_error(tokens: int, start: int):
    positions = LearnedPositions(8, length=6)
    with pytest.raises(ValueError, match=f"{start + tokens} positions are past the 6"):
        positions(torch.zeros(1, tokens, 8), torch.arange(start, start + tokens))


@pytest.mark.parametrize("kind", [SinusoidalPositions, LearnedPositions])
def test_they_build_and_run_without_memory(kind: type):
    with torch.device("meta"):
        positions = kind(1024, length=512)
        assert positions(torch.empty(2, 512, 1024)).shape == (2, 512, 1024)
    assert positions.table.is_meta


def test_a_table_without_memory_grows_without_memory():
    with torch.device("meta"):
        positions = SinusoidalPositions(16, length=4)
    assert positions(torch.empty(1, 9, 16, device="meta")).shape == (1, 9, 16)
    assert positions.table.is_meta
