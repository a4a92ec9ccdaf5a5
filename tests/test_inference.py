"""annotated.inference: what is made ready for decoding computes the same, or nearly."""

import math

import pytest
import torch
from torch import nn

from annotated import inference
from annotated.attention import MultiHeadAttention
from annotated.batching import pad
from annotated.decoding import SearchConfig, beam_search, greedy
from annotated.embeddings import SharedEmbedding
from annotated.inference import (
    Int8Embedding,
    Int8Linear,
    PackedEmbedding,
    PackedInt8Linear,
    PackedLinear,
    SelfAttention,
    can,
    has_int8_products,
    has_packed_products,
    in_steps,
    prepare,
    quantize,
)
from annotated.tokenizer import EOS
from annotated.transformer import Transformer, TransformerConfig, parameter_count

needs_packed = pytest.mark.skipif(not has_packed_products(), reason="no packed products here")
needs_int8 = pytest.mark.skipif(not has_int8_products(), reason="no int8 products here")
BOTH = [  # the products of int8 matrices
    pytest.param(kind, marks=pytest.mark.skipif(not can(kind), reason="no such products here"))
    for kind in (Int8Linear, PackedInt8Linear)
]
SIZES = {"layers": 2, "d_model": 64, "d_ff": 128, "heads": 4, "dropout": 0.3}
SOURCE = pad([[5, 6, 7, 8, EOS], [9, 10, EOS]])


def a_model(**changes):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(60, **(SIZES | changes)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


@needs_packed
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 48), (3, 7, 48), (64, 48)])
@torch.no_grad()
def test_a_packed_product_is_the_product(bias, shape):
    linear, x = nn.Linear(48, 40, bias), torch.randn(shape)
    packed = PackedLinear(linear.weight, linear.bias)
    exact = linear.double()(x.double())
    assert packed(x).shape == (*shape[:-1], 40)
    assert torch.allclose(packed(x).double(), exact, atol=1e-5)


@needs_packed
@torch.no_grad()
def test_a_packed_embedding_embeds_and_scores():
    embedding = SharedEmbedding(50, 32)
    packed = PackedEmbedding(embedding)
    tokens, x = torch.tensor([[3, 4], [49, 0]]), torch.randn(2, 3, 32)
    assert packed(tokens).equal(embedding(tokens))
    assert torch.allclose(packed.logits(x), embedding.logits(x), atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [{}, {"d_k": 8, "d_v": 24}])
def test_one_product_gives_queries_keys_and_values(bias, widths):
    separate = MultiHeadAttention(64, 4, bias=bias, **widths).double().eval()
    if bias:
        nn.init.normal_(separate.key.bias)
    one, x = SelfAttention(separate), torch.randn(2, 5, 64).double()
    for part, same in zip(one.project(x), separate.project(x), strict=True):
        assert torch.allclose(part, same, atol=1e-12)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    assert torch.allclose(one(x, x, mask), separate(x, x, mask), atol=1e-12)
    assert sum(x.numel() for x in one.parameters()) == sum(x.numel() for x in separate.parameters())


def test_steps_are_a_127th_of_the_largest_of_each_row():
    x = torch.tensor([[1.0, -2.54, 0.009, 0.011], [0.0, 0.0, 0.0, 0.0], [1e-3, 0.0, 0.0, -1e-3]])
    whole, step = in_steps(x)
    assert whole.dtype == torch.int8 and step.shape == (3, 1)
    assert whole[0].tolist() == [50, -127, 0, 1] and whole[1].tolist() == [0] * 4
    assert whole[2].tolist() == [127, 0, 0, -127]
    assert step[0].item() == pytest.approx(0.02)


def test_nothing_moves_by_more_than_half_a_step():
    x = torch.randn(50, 200, dtype=torch.float64)
    whole, step = in_steps(x)
    assert ((whole * step - x).abs() <= step / 2 * (1 + 1e-9)).all()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 48), (3, 7, 48), (64, 48)])
def test_an_int8_product_is_that_of_the_rounded_matrices(shape, bias, kind):
    linear, x = nn.Linear(48, 40, bias), torch.randint(-127, 128, shape) / 50
    x[..., 0] = 2.54  # so that a step is 0.02, and no number lies between two
    light = kind(linear.weight, linear.bias)
    weight, weight_step = in_steps(linear.weight.detach())
    rows, step = in_steps(x)
    exact = (rows.double() * step) @ (weight.double() * weight_step).T
    exact = exact + linear.bias.double() if bias else exact
    assert torch.allclose(light(x).double(), exact, atol=1e-5)
    assert light(x).shape == (*shape[:-1], 40)
    assert (light(x) - linear(x)).norm() < 0.02 * linear(x).norm()


@pytest.mark.parametrize("kind", BOTH)
def test_what_a_row_gives_does_not_depend_on_the_others(kind):
    light, x = kind(torch.randn(512, 256), torch.randn(512)), torch.randn(64, 256)
    whole = light(x)
    for n in (1, 3, 16):
        assert light(x[:n]).equal(whole[:n])


@pytest.mark.parametrize("kind", BOTH)
def test_the_largest_numbers_do_not_overflow(kind):
    ones = torch.ones(16, 2048)
    assert torch.allclose(kind(ones)(ones), torch.full((16, 16), 2048.0))


def test_a_product_that_is_wrong_is_none_that_can_be_had():
    assert can(lambda weight: nn.Linear(64, 8)) is False
    assert can(lambda weight: lambda x: x @ weight.T) is True


def test_without_packed_int8_products_there_are_the_others(monkeypatch):
    monkeypatch.setattr(inference, "can", lambda make: make is not PackedInt8Linear)
    assert type(inference.int8_linear(torch.ones(512, 1024))) is Int8Linear


def test_a_small_matrix_is_not_packed(monkeypatch):
    monkeypatch.setattr(inference, "can", lambda make: True)
    monkeypatch.setattr(PackedInt8Linear, "keep", lambda *_: None)
    assert type(inference.int8_linear(torch.ones(8, 8))) is Int8Linear
    assert type(inference.int8_linear(torch.ones(512, 1024))) is PackedInt8Linear
    monkeypatch.setattr(inference, "can", lambda make: make is PackedInt8Linear)
    assert type(inference.int8_linear(torch.ones(8, 8))) is PackedInt8Linear


@needs_int8
def test_an_int8_embedding_embeds_and_scores():
    embedding = SharedEmbedding(50, 32)
    light = Int8Embedding(embedding)
    tokens, x = torch.tensor([[3, 4], [49, 0]]), torch.randn(2, 3, 32)
    assert (light(tokens) - embedding(tokens)).norm() < 0.02 * embedding(tokens).norm()
    assert light(tokens).shape == (2, 2, 32)
    error = (light.logits(x) - embedding.logits(x)).norm()
    assert error < 0.02 * embedding.logits(x).norm()


VARIANTS = [{}, {"norm_first": True}, {"attention_bias": True}, {"d_k": 8, "d_v": 24}]


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_prepared_model_is_the_same_model(changes):
    model = a_model(**changes).double().eval()
    ready = prepare(model)
    target = torch.tensor([[1, 4, 5], [1, 9, 30]])
    assert torch.allclose(ready(SOURCE, target), model(SOURCE, target), atol=1e-12)
    assert torch.equal(greedy(ready, SOURCE), greedy(model, SOURCE))
    found = [beam_search(each, SOURCE, SearchConfig(3)) for each in (ready, model)]
    assert [one[0].ids for one in found[0]] == [one[0].ids for one in found[1]]


@needs_packed
@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_a_packed_model_is_the_same_model(changes):
    model = a_model(**changes).eval()
    ready = prepare(model)
    assert not any(isinstance(part, nn.Linear) for part in ready.modules())
    target = torch.tensor([[1, 4, 5], [1, 9, 30]])
    assert torch.allclose(ready(SOURCE, target), model(SOURCE, target), atol=1e-4)
    assert torch.equal(greedy(ready, SOURCE), greedy(model, SOURCE))


def test_without_packed_products_the_maps_stay(monkeypatch):
    monkeypatch.setattr(inference, "has_packed_products", lambda: False)
    model = a_model().eval()
    ready = prepare(model)
    assert not any(isinstance(part, PackedLinear) for part in ready.modules())
    assert torch.equal(greedy(ready, SOURCE), greedy(model, SOURCE))


@pytest.mark.parametrize("make", [prepare, pytest.param(quantize, marks=needs_int8)])
def test_a_model_is_made_ready_once(make):
    with pytest.raises(ValueError, match="made ready for decoding already"):
        make(prepare(a_model()))


@needs_int8
@pytest.mark.parametrize("changes", VARIANTS)
def test_a_quantized_model_is_nearly_the_same_model(changes):
    model = a_model(**changes).eval()
    light = quantize(model)
    target = torch.tensor([[1, 4, 5], [1, 9, 30]])
    exact = model(SOURCE, target)
    assert (light(SOURCE, target) - exact).norm() < 0.1 * exact.norm()
    assert not any(isinstance(part, nn.Linear | SharedEmbedding) for part in light.modules())
    assert len(beam_search(light, SOURCE, SearchConfig(2))) == 2


@pytest.mark.parametrize("make", [prepare, pytest.param(quantize, marks=needs_int8)])
def test_the_model_itself_is_left_as_it_was(make):
    model = a_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ready = make(model)
    assert model.training and not ready.training
    assert isinstance(model.embedding, SharedEmbedding)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert any(isinstance(part, nn.Dropout) for part in model.modules())
    assert not any(isinstance(part, nn.Dropout) for part in ready.modules())


def test_the_matrices_take_a_quarter_of_the_bytes():
    weight = torch.randn(64, 48)
    assert Int8Linear(weight).columns.nbytes * 4 == weight.nbytes
    assert Int8Embedding(SharedEmbedding(50, 32)).rows.nbytes == 50 * 32


@pytest.mark.parametrize("kind", BOTH)
def test_a_row_of_zeros_stays_one(kind):
    light = kind(torch.zeros(3, 8))
    assert light(torch.zeros(2, 8)).equal(torch.zeros(2, 3))
    assert not math.isnan(light(torch.randn(2, 8)).sum().item())


def test_where_it_cannot_be_done_it_is_said(monkeypatch):
    monkeypatch.setattr(inference, "has_int8_products", lambda: False)
    with pytest.raises(ValueError, match="8-bit weights need a CPU"):
        quantize(a_model())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="8-bit weights need a CPU"):
        quantize(a_model().to("meta"))


def test_little_work_has_one_thread_and_more_has_all():
    model = Transformer(TransformerConfig(100, layers=1, d_model=16, d_ff=16, heads=2))
    rows = inference.LITTLE // parameter_count(model.config)  # one more is no longer little
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for few, threads in ((1, 1), (rows, 1), (rows + 1, 2)):
            with inference.threads_for(model, few):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), inference.threads_for(prepare(model), 1):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
