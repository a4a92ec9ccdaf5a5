"""Attention (Section 3.2): shapes, masks, equality with PyTorch, what must hold for all inputs."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from annotated.model.attention import (
    MultiHeadAttention,
    View,
    attention,
    causal_mask,
    masked_softmax,
    padding_mask,
)

TYPES = [torch.float64, torch.float32, torch.bfloat16]
SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(1, 6)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def normal(*size: int, grad: bool = False) -> Tensor:
    """Random numbers in double precision."""
    return torch.randn(*size, dtype=torch.float64, requires_grad=grad)


def close(a: Tensor, b: Tensor, atol: float = 1e-13) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def partial_mask(*size: int) -> Tensor:
    """A random mask that leaves every query at least the first key."""
    mask = torch.rand(*size) < 0.5
    mask[..., 0] = True
    return mask


# Masks


def test_padding_mask_is_true_at_tokens_and_false_at_pads():
    mask = padding_mask(torch.tensor([[5, 6, 1], [7, 1, 0]]))
    assert mask.shape == (2, 1, 1, 3) and mask.dtype == torch.bool
    assert mask[:, 0, 0].tolist() == [[True, True, True], [True, True, False]]


def test_padding_mask_takes_another_pad_id():
    assert padding_mask(torch.tensor([[0, 9, 9]]), pad=9).flatten().tolist() == [True, False, False]


def test_causal_mask_looks_at_itself_and_back():
    assert causal_mask(3).dtype == torch.bool
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(1).tolist() == [[True]]
    assert causal_mask(0).shape == (0, 0)
    assert causal_mask(3, device="meta").device.type == "meta"


def test_padding_and_causal_mask_combine_by_broadcasting():
    both = padding_mask(torch.tensor([[1, 1, 0]])) & causal_mask(3)
    assert both[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]


# The masked softmax


@pytest.mark.parametrize("dtype", [*TYPES, torch.float16])
def test_masked_softmax_keeps_type_and_gives_zeros_where_forbidden(dtype):
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(torch.tensor([3.0, 3.0, 99.0]).to(dtype).expand(2, 3), mask)
    assert weights.dtype == dtype
    assert weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]


def test_masked_softmax_does_not_depend_on_forbidden_scores():
    scores, mask = normal(4, 6), partial_mask(4, 6)
    other = torch.where(mask, scores, 1e6 * normal(4, 6))
    assert torch.equal(masked_softmax(scores, mask), masked_softmax(other, mask))


def test_masked_softmax_is_the_softmax_of_what_is_allowed():
    scores, mask = normal(6), torch.tensor([True, False, True, True, False, False])
    weights = masked_softmax(scores, mask)
    close(weights[mask], scores[mask].softmax(-1))


def test_masked_softmax_with_nothing_forbidden_is_the_softmax():
    scores = normal(2, 3, 4)
    assert torch.equal(masked_softmax(scores, torch.tensor(True)), scores.softmax(-1))


@settings(deadline=None)
@given(SEEDS, LENGTHS, LENGTHS, st.sampled_from([1e-3, 1.0, 1e3, 1e300]))
def test_weights_of_a_row_sum_to_one_or_zero(seed, queries, keys, size):
    generator = torch.Generator().manual_seed(seed)
    scores = size * torch.randn(queries, keys, generator=generator, dtype=torch.float64)
    mask = torch.rand(queries, keys, generator=generator) < 0.5
    weights = masked_softmax(scores, mask)
    close(weights.sum(-1), mask.any(-1).double())
    assert (weights >= 0).all() and (weights[~mask] == 0).all()


def test_gradient_of_the_masked_softmax_is_right():
    scores, mask = normal(3, 4, grad=True), partial_mask(3, 4)
    mask[1] = False
    assert torch.autograd.gradcheck(lambda s: masked_softmax(s, mask), scores)


# Attention


def test_attention_by_hand():
    # scores ln 3 and 0 after the division by sqrt(4) = 2, so shares 3/4 and 1/4
    query = torch.tensor([[2 * math.log(3), 0.0, 0.0, 0.0]])
    key = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    output, weights = attention(query, key, torch.tensor([[8.0], [4.0]]))
    close(weights, torch.tensor([[0.75, 0.25]]), atol=1e-6)
    close(output, torch.tensor([[7.0]]), atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_shapes_and_types_of_attention(dtype, lead, masked):
    query, key, value = (
        torch.randn(*lead, n, width, dtype=dtype) for n, width in [(5, 4), (7, 4), (7, 6)]
    )
    output, weights = attention(query, key, value, partial_mask(5, 7) if masked else None)
    assert output.shape == (*lead, 5, 6) and weights.shape == (*lead, 5, 7)
    assert output.dtype == weights.dtype == dtype
    assert output.isfinite().all()


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_pytorch_forward_and_backward(masked):
    inputs = [normal(2, 3, 5, 8, grad=True), normal(2, 3, 7, 8, grad=True)]
    inputs.append(normal(2, 3, 7, 6, grad=True))
    mask = partial_mask(2, 1, 5, 7) if masked else None
    ours, _ = attention(*inputs, mask)
    theirs = F.scaled_dot_product_attention(*inputs, mask)
    close(ours, theirs)
    direction = normal(*ours.shape)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, direction),
        torch.autograd.grad(theirs, inputs, direction),
        strict=True,
    ):
        close(a, b)


def test_gradient_of_attention_is_right():
    inputs = (normal(2, 3, grad=True), normal(4, 3, grad=True), normal(4, 2, grad=True))
    mask = partial_mask(2, 4)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask)[0], inputs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_query_that_may_look_nowhere_gets_zeros_and_passes_no_gradient(training, dtype):
    query, key, value = (torch.randn(2, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.tensor([True, False])[:, None, None]  # the second of the batch may look nowhere
    output, weights = attention(query, key, value, mask, nn.Dropout(0.5).train(training))
    with torch.autograd.set_detect_anomaly(True):  # stops at a NaN on the way, too
        output.sum().backward()
    assert (output[1] == 0).all() and (weights[1] == 0).all()
    for x in (query, key, value):
        assert x.grad is not None and x.grad.isfinite().all() and (x.grad[1] == 0).all()
    assert value.grad is not None and (value.grad[0] != 0).any()  # the first learns as ever


@settings(deadline=None)
@given(SEEDS, LENGTHS, LENGTHS)
def test_order_of_queries_and_of_key_value_pairs(seed, queries, keys):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (queries, keys, keys)
    )
    mask = torch.rand(queries, keys, generator=generator) < 0.7
    rows = torch.randperm(queries, generator=generator)
    columns = torch.randperm(keys, generator=generator)
    output, weights = attention(query, key, value, mask)
    shuffled, shares = attention(query[rows], key[columns], value[columns], mask[rows][:, columns])
    close(shuffled, output[rows])
    close(shares, weights[rows][:, columns])


@settings(deadline=None)
@given(SEEDS, LENGTHS)
def test_an_output_never_leaves_the_range_of_the_values(seed, keys):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        3 * torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (3, keys, keys)
    )
    output, _ = attention(query, key, value)
    assert (output <= value.max(0).values + 1e-12).all()
    assert (output >= value.min(0).values - 1e-12).all()


def test_dropout_acts_on_the_shares_but_not_on_the_weights_returned():
    query, key = normal(50, 8), normal(40, 8)
    ones = torch.ones(40, 1, dtype=torch.float64)
    dropout = nn.Dropout(0.5)
    sums, weights = attention(query, key, ones, dropout=dropout)
    close(weights.sum(-1), torch.ones(50).double())
    assert sums.std() > 0.01  # dropped shares no longer sum to one
    sums, _ = attention(query, key, ones, dropout=dropout.eval())
    close(sums, torch.ones(50, 1).double())


def test_attention_refuses_queries_and_keys_of_different_width():
    with pytest.raises(RuntimeError):
        attention(normal(3, 4), normal(3, 5), normal(3, 4))


# Multi-head attention


def by_loop(layer: MultiHeadAttention, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
    """The heads one after the other, with the matrices of a layer; mask (B, 1, T, S) or None."""
    heads = []
    maps = (layer.query, layer.key, layer.value)
    for w_q, w_k, w_v in zip(*(m.weight.chunk(layer.heads) for m in maps), strict=True):
        part = mask if mask is None else mask[:, 0]
        heads.append(attention(x @ w_q.T, memory @ w_k.T, memory @ w_v.T, part)[0])
    return layer.output(torch.cat(heads, -1))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("widths", [{}, {"d_k": 3, "d_v": 5}])
def test_all_heads_at_once_equal_one_head_after_the_other(masked, widths):
    layer = MultiHeadAttention(16, heads=4, **widths).double()
    x, memory = normal(2, 5, 16), normal(2, 7, 16)
    mask = partial_mask(2, 1, 5, 7) if masked else None
    close(layer(x, memory, mask), by_loop(layer, x, memory, mask), atol=2e-15)


@pytest.mark.parametrize("dtype", TYPES)
def test_shapes_and_types_of_multi_head_attention(dtype):
    layer = MultiHeadAttention(24, heads=4, d_k=3, d_v=5).to(dtype)
    x, memory = torch.randn(2, 5, 24, dtype=dtype), torch.randn(2, 7, 24, dtype=dtype)
    output = layer(x, memory, padding_mask(torch.ones(2, 7, dtype=torch.int64)))
    assert output.shape == (2, 5, 24) and output.dtype == dtype
    key, value = layer.keys_values(memory)
    assert key.shape == (2, 4, 7, 3) and value.shape == (2, 4, 7, 5)
    heads, weights = View().attend(layer, layer.split(layer.query(x)), key, value)
    assert heads.shape == (2, 4, 5, 5) and weights.shape == (2, 4, 5, 7)
    assert torch.equal(layer.output(layer.merge(heads)), layer(x, memory))


def test_widths_default_to_d_model_over_heads():
    layer = MultiHeadAttention(24, heads=4, d_v=5)
    assert layer.query.out_features == layer.key.out_features == 24
    assert layer.value.out_features == layer.output.in_features == 20
    assert layer.output.out_features == 24


@pytest.mark.parametrize("widths", [{}, {"d_k": 4}, {"d_v": 4}])
def test_heads_that_do_not_divide_d_model_are_refused(widths):
    with pytest.raises(ValueError, match="d_model 10 is not divisible by 4 heads"):
        MultiHeadAttention(10, heads=4, **widths)


def test_heads_need_not_divide_d_model_where_both_widths_are_given():
    layer = MultiHeadAttention(10, heads=4, d_k=3, d_v=2)
    assert layer(torch.randn(1, 2, 10), torch.randn(1, 3, 10)).shape == (1, 2, 10)


def test_split_gives_each_head_its_own_block_and_merge_takes_it_back():
    layer = MultiHeadAttention(6, heads=3)
    x = torch.tensor([[[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]]])  # (B, S, H K) = (1, 2, 6)
    assert layer.split(x)[0].tolist() == [
        [[0, 1], [10, 11]],
        [[2, 3], [12, 13]],
        [[4, 5], [14, 15]],
    ]
    assert torch.equal(layer.merge(layer.split(x)), x)


@pytest.mark.parametrize("bias", [False, True])
def test_bias_is_on_all_four_maps_or_on_none(bias):
    layer = MultiHeadAttention(8, heads=2, bias=bias)
    assert [name for name, _ in layer.named_parameters() if name.endswith("bias")] == (
        ["query.bias", "key.bias", "value.bias", "output.bias"] if bias else []
    )
    assert sum(p.numel() for p in layer.parameters()) == 4 * 8 * 8 + bias * 4 * 8


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_equals_pytorch_forward_and_backward(bias, causal):
    ours = MultiHeadAttention(16, heads=4, bias=bias).double()
    theirs = nn.MultiheadAttention(16, 4, bias=bias, batch_first=True, dtype=torch.float64)
    three = [ours.query, ours.key, ours.value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in three]))
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in three]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())

    x, memory = normal(2, 7, 16, grad=True), normal(2, 7, 16, grad=True)
    tokens = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])
    mask = padding_mask(tokens) & causal_mask(7) if causal else padding_mask(tokens)
    a = ours(x, memory, mask)
    b, _ = theirs(
        x,
        memory,
        memory,
        key_padding_mask=tokens == 0,
        attn_mask=~causal_mask(7) if causal else None,
    )
    close(a, b)
    direction = normal(*a.shape)
    for y in (a, b):
        y.backward(direction, inputs=[x, memory, *(ours if y is a else theirs).parameters()])
        grads = (x.grad, memory.grad)
        x.grad = memory.grad = None
        if y is a:
            first = grads
    for g, h in zip(first, grads, strict=True):
        close(g, h)
    close(torch.cat([linear.weight.grad for linear in three]), theirs.in_proj_weight.grad)
    close(ours.output.weight.grad, theirs.out_proj.weight.grad)
    if bias:
        close(torch.cat([linear.bias.grad for linear in three]), theirs.in_proj_bias.grad)
        close(ours.output.bias.grad, theirs.out_proj.bias.grad)


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing_for_real_tokens(training):
    layer = MultiHeadAttention(16, heads=4).double().train(training)
    tokens = torch.tensor([[3, 4, 1, 0, 0]])
    x = normal(1, 5, 16)
    padded = layer(x, x, padding_mask(tokens))[:, :3]
    close(padded, layer(x[:, :3], x[:, :3]))
    x[:, 3:] = 1e3 * normal(1, 2, 16)
    close(padded, layer(x, x, padding_mask(tokens))[:, :3])


@pytest.mark.parametrize("training", [True, False])
def test_no_position_sees_a_later_one(training):
    layer = MultiHeadAttention(16, heads=4).double().train(training)
    x = normal(1, 6, 16, grad=True)
    for t in range(6):
        (gradient,) = torch.autograd.grad(layer(x, x, causal_mask(6))[0, t].sum(), x)
        reached = gradient[0].abs().sum(-1) > 0
        assert reached.tolist() == [s <= t for s in range(6)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_empty_source_gives_zeros_and_finite_gradients(training, dropout):
    layer = MultiHeadAttention(16, heads=4, dropout=dropout).train(training)
    x, memory = torch.randn(2, 3, 16), torch.randn(2, 4, 16, requires_grad=True)
    tokens = torch.tensor([[5, 6, 7, 1], [0, 0, 0, 0]])
    output = layer(x, memory, padding_mask(tokens))
    assert (output[1] == 0).all() and (output[0] != 0).any()
    (output**2).sum().backward()
    assert memory.grad is not None and (memory.grad[1] == 0).all()
    for p in layer.parameters():
        assert p.grad is not None and p.grad.isfinite().all() and (p.grad != 0).any()


def test_dropout_is_off_unless_asked_for_and_off_in_evaluation():
    x = torch.randn(2, 5, 16)
    plain = MultiHeadAttention(16, heads=4)
    assert torch.equal(plain(x, x), plain(x, x))
    layer = MultiHeadAttention(16, heads=4, dropout=0.5)
    layer.load_state_dict(plain.state_dict())
    assert not torch.allclose(layer(x, x), plain(x, x))
    assert torch.equal(layer.eval()(x, x), plain(x, x))


@settings(deadline=None)
@given(SEEDS, st.integers(1, 7))
def test_self_attention_is_permutation_equivariant(seed, length):
    torch.manual_seed(seed)
    layer = MultiHeadAttention(8, heads=2).double()
    x, order = normal(1, length, 8), torch.randperm(length)
    close(layer(x[:, order], x[:, order]), layer(x, x)[:, order])


def test_weights_are_kept_on_request_only():
    layer = MultiHeadAttention(8, heads=2)
    x, memory = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    layer(x, memory)
    assert layer.weights is None
    layer.keep_weights = True
    layer(x, memory)
    assert layer.weights is not None and layer.weights.shape == (3, 2, 4, 5)
    assert not layer.weights.requires_grad
    close(layer.weights.sum(-1), torch.ones(3, 2, 4), atol=1e-5)
    assert "weights" not in layer.state_dict()


def test_keys_and_values_of_a_part_are_part_of_the_keys_and_values():
    # what lets decoding keep them and add those of one more token
    layer = MultiHeadAttention(8, heads=2).double()
    memory = normal(1, 5, 8)
    for whole, part, rest in zip(
        layer.keys_values(memory),
        layer.keys_values(memory[:, :3]),
        layer.keys_values(memory[:, 3:]),
        strict=True,
    ):
        close(torch.cat([part, rest], 2), whole)


def test_scores_of_a_fresh_layer_have_variance_one():
    layer = MultiHeadAttention(256, heads=4)
    for linear in (layer.query, layer.key):
        nn.init.xavier_uniform_(linear.weight)
    x = torch.randn(2, 100, 256)
    query, key = layer.split(layer.query(x)), layer.split(layer.key(x))
    scores = query @ key.transpose(-2, -1) / math.sqrt(64)
    assert abs(scores.var().item() - 1) < 0.15


def test_a_state_dict_makes_a_copy_that_says_the_same():
    first, second = MultiHeadAttention(8, heads=2), MultiHeadAttention(8, heads=2)
    x = torch.randn(1, 3, 8)
    assert not torch.allclose(first(x, x), second(x, x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x, x), second(x, x))
