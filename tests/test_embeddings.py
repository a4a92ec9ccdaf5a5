"""Embeddings: one matrix for source, target and scores (Section 3.4)."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from annotated.model.embeddings import SharedEmbedding

leading = st.lists(st.integers(0, 4), max_size=3)


def make(vocab_size: int = 11, d_model: int = 6) -> SharedEmbedding:
    torch.manual_seed(0)
    return SharedEmbedding(vocab_size, d_model).double()


@settings(deadline=None)
@given(leading=leading, vocab_size=st.integers(1, 9), d_model=st.integers(1, 9))
def test_shapes_in_both_directions(leading: list[int], vocab_size: int, d_model: int):
    embedding = make(vocab_size, d_model)
    tokens = torch.randint(vocab_size, leading)
    assert embedding(tokens).shape == (*leading, d_model)
    assert embedding.logits(embedding(tokens)).shape == (*leading, vocab_size)


def test_embeddings_are_rows_times_the_square_root():
    embedding, tokens = make(), torch.tensor([[3, 3, 0], [10, 1, 2]])
    assert_close(embedding(tokens), embedding.weight[tokens] * math.sqrt(6))


def test_logits_are_dot_products_without_the_factor():
    embedding, x = make(), torch.randn(4, 6, dtype=torch.float64)
    assert_close(embedding.logits(x)[2, 7], x[2] @ embedding.weight[7])
    assert_close(embedding.logits(x), x @ embedding.weight.T)


def test_it_equals_torchs_own_layers_tied():
    embedding, tokens = make(), torch.randint(11, (2, 5))
    entrance, exit_ = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
    entrance.weight = exit_.weight = embedding.weight
    x = entrance(tokens) * math.sqrt(6)
    assert_close(embedding(tokens), x)
    assert_close(embedding.logits(x), exit_(x))


def test_there_is_one_parameter_and_it_has_one_name():
    embedding = make()
    assert [name for name, _ in embedding.named_parameters()] == ["weight"]
    assert list(embedding.state_dict()) == ["weight"]
    assert embedding.weight.shape == (11, 6)


def test_a_change_of_a_row_reaches_both_ends():
    embedding, x = make(), torch.ones(1, 6, dtype=torch.float64)
    embedded, scores = embedding(torch.tensor([4])), embedding.logits(x)
    with torch.no_grad():
        embedding.weight[4] += 1
    assert_close(embedding(torch.tensor([4])), embedded + math.sqrt(6))
    change = embedding.logits(x) - scores
    assert_close(change, 6 * F.one_hot(torch.tensor([4]), 11).double())


def losses(reads: nn.Module, writes: nn.Module, scores: SharedEmbedding) -> torch.Tensor:
    """A stand-in for a model, with a matrix for each of the three places."""
    source, target = torch.tensor([3, 4, 5]), torch.tensor([1, 6, 7, 2])
    x = F.layer_norm(writes(target[:-1]) + reads(source).mean(0), (6,))
    return F.cross_entropy(scores.logits(x), target[1:])


def test_the_gradient_is_the_sum_of_the_three_uses():
    shared = make()
    apart = [copy.deepcopy(shared) for _ in range(3)]
    losses(shared, shared, shared).backward()
    losses(*apart).backward()
    parts = [one.weight.grad for one in apart]
    assert_close(shared.weight.grad, sum(parts))
    assert all(part.abs().sum() > 0 for part in parts)


def test_rows_that_were_never_looked_up_learn_from_the_softmax():
    shared = make()
    losses(shared, shared, shared).backward()
    assert (shared.weight.grad[[0, 8, 9, 10]] != 0).any(-1).all()


def test_rows_that_were_never_looked_up_learn_nothing_from_the_lookup():
    embedding = make()
    embedding(torch.tensor([0, 4])).sum().backward()
    touched = (embedding.weight.grad != 0).any(-1).nonzero().flatten()
    assert touched.tolist() == [0, 4]


@pytest.mark.parametrize("d_model", [64, 256])
def test_embeddings_and_logits_start_with_unit_variance(d_model: int):
    torch.manual_seed(0)
    embedding = SharedEmbedding(5000, d_model)
    x = F.layer_norm(torch.randn(50, d_model), (d_model,))
    assert embedding.weight.mean().abs() < 1e-3
    assert embedding.weight.std().item() == pytest.approx(d_model**-0.5, rel=0.02)
    assert embedding(torch.arange(5000)).std().item() == pytest.approx(1, rel=0.02)
    assert embedding.logits(x).std().item() == pytest.approx(1, rel=0.05)


def test_the_first_loss_is_half_a_unit_above_ln_v():
    torch.manual_seed(0)
    embedding = SharedEmbedding(5000, 256)
    x = F.layer_norm(torch.randn(500, 256), (256,))
    loss = F.cross_entropy(embedding.logits(x), torch.randint(5000, (500,))).item()
    assert loss == pytest.approx(math.log(5000) + 0.5, abs=0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_of_the_weights_comes_out(dtype: torch.dtype):
    embedding = SharedEmbedding(11, 6).to(dtype)
    assert embedding(torch.tensor([1])).dtype == dtype
    assert embedding.logits(torch.randn(2, 6, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("integer", [torch.int32, torch.int64])
def test_ids_may_be_of_either_integer_type(integer: torch.dtype):
    tokens = torch.tensor([3, 1])
    assert make()(tokens.to(integer)).equal(make()(tokens))


def test_it_builds_and_runs_without_memory():
    with torch.device("meta"):
        embedding = SharedEmbedding(37000, 1024)
        tokens = torch.empty(2, 5, dtype=torch.int64)
        assert embedding.logits(embedding(tokens)).shape == (2, 5, 37000)
    assert embedding.weight.is_meta


@pytest.mark.parametrize("token", [11, -1])
def test_an_id_outside_the_vocabulary_is_an_error(token: int):
    with pytest.raises(IndexError):
        make()(torch.tensor([token]))


def test_ids_must_be_integers():
    with pytest.raises(RuntimeError, match="scalar types"):
        make()(torch.tensor([1.0]))


def test_scoring_the_wrong_width_is_an_error():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make().logits(torch.randn(2, 7, dtype=torch.float64))
