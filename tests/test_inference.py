"""Inference: weights of 8 bits lose little, and little work has one thread."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import EOS
from annotated.fast import inference
from annotated.fast.inference import Int8Linear, in_8_bits, matmul_precision_for, tuned
from annotated.model.transformer import Transformer, TransformerConfig, parameter_count
from annotated.translation.hypotheses import Translator
from annotated.translation.search import SearchConfig, beam_search
from annotated.translation.sentences import Seen

SIZES = {"layers": 2, "d_model": 64, "d_ff": 128, "heads": 4, "dropout": 0.3}
SOURCE = pad_sequences([[5, 6, 7, 8, EOS], [9, 10, EOS]])


def a_model(**changes):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(60, **(SIZES | changes)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def test_no_operator_is_private_and_none_is_about_to_go():
    """PyTorch may change what begins with an underscore, and has announced to remove quantized."""
    for path in sorted(Path(inference.__file__).parent.parent.rglob("*.py")):
        found = re.findall(r"torch(?:\.\w+)*\.(?:_\w+|quantized)\b.*", path.read_text("utf-8"))
        allowed = ("torch._dynamo", "torch._inductor")  # names of modules that errors come from
        assert not [x for x in found if not x.startswith(allowed)], path.name


def a_linear(rows):
    """A linear map with these weights."""
    weight = torch.tensor(rows)
    linear = nn.Linear(weight.size(1), weight.size(0), bias=False)
    linear.weight = nn.Parameter(weight)
    return linear


def test_steps_are_a_127th_of_the_largest_of_each_row():
    rows = [[1.0, -2.54, 0.009, 0.011], [0.0, 0.0, 0.0, 0.0], [1e-3, 0.0, 0.0, -1e-3]]
    light = Int8Linear(a_linear(rows))
    assert light.whole.dtype == torch.int8
    assert light.whole.tolist() == [[50, -127, 0, 1], [0] * 4, [127, 0, 0, -127]]
    assert light.step[0].item() == pytest.approx(0.02)
    assert light(torch.ones(2, 4))[:, 1].tolist() == [0.0, 0.0]


def test_no_weight_moves_by_more_than_half_a_step():
    linear = nn.Linear(200, 50).double()
    light = Int8Linear(linear)
    assert ((light.weight - linear.weight).abs() <= light.step / 2 * (1 + 1e-9)).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 48), (3, 7, 48), (64, 48)])
@torch.no_grad()
def test_a_product_is_that_of_the_rounded_weights(shape, bias):
    linear, x = nn.Linear(48, 40, bias), torch.randn(shape)
    light = Int8Linear(linear)
    exact = x @ (light.whole.float() * light.step).T + (linear.bias if bias else 0)
    torch.testing.assert_close(light(x), exact)
    assert light(x).shape == (*shape[:-1], 40)
    assert (light(x) - linear(x)).norm() < 0.01 * linear(x).norm()
    assert light.whole.nbytes * 4 == linear.weight.nbytes


VARIANTS = [{}, {"norm_first": True}, {"attention_bias": True}, {"d_k": 8, "d_v": 24}]


@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_a_model_in_8_bits_is_nearly_the_same_model(changes):
    model = a_model(**changes).eval()
    light = in_8_bits(model)
    target = torch.tensor([[1, 4, 5], [1, 9, 30]])
    exact = model(SOURCE, target)
    error = (light(SOURCE, target) - exact).norm()
    assert 0 < error < 0.1 * exact.norm()
    assert not any(isinstance(part, nn.Linear) for part in light.modules())
    assert len(beam_search(light, SOURCE, SearchConfig(2))) == 2


def test_the_model_itself_is_left_as_it_was():
    model = a_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    light = in_8_bits(model)
    assert model.training and not light.training
    assert model.state_dict().keys() == before.keys()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


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
        with pytest.raises(KeyError), inference.threads_for(model, 1):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_products_are_measured_for_the_rows_of_a_step_and_left_as_they_were(monkeypatch):
    asked = []

    def choose(rows, width):
        asked.append((rows, width))
        return "medium"

    monkeypatch.setattr(inference, "choose_matmul_precision", choose)
    monkeypatch.setattr(inference, "fitting", cache(inference.fitting.__wrapped__))
    with matmul_precision_for(a_model(), 4):
        assert torch.get_float32_matmul_precision() == "medium"
    for model, rows in ((a_model(), 4000), (a_model(), 4), (a_model().double(), 4)):
        with matmul_precision_for(model, rows):
            pass
    assert asked == [(4, 128), (inference.MANY, 128)]
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_tuned_translator_has_the_threads_and_the_products_that_suit_its_rows(monkeypatch):
    model, asked = a_model(), []

    def search(encoded, n_best):
        asked.append((torch.get_num_threads(), torch.get_float32_matmul_precision(), n_best))
        return [[] for _ in encoded]

    monkeypatch.setattr(inference, "fitting", lambda rows, width: "high")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for products in (False, True):
            ours = Translator(None, Seen(), search)
            assert tuned(ours, model, 4, products).search([[5], [6]], 3) == [[], []]
        assert tuned(ours, model, 4, products=True).search([], 1) == []
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert asked == [(1, "highest", 3), (1, "high", 3), (1, "highest", 1)]
