"""Dropout: masks of 16 random bits a number behave as nn.Dropout's."""

import pytest
import torch
from torch import nn

from annotated.fast.dropout import QuickDropout, quicken


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_it_keeps_the_average_and_scales_what_stays(rate):
    torch.manual_seed(0)
    dropped = QuickDropout(rate)(torch.ones(999, 1001))
    stay = (dropped > 0).float().mean().item()
    assert stay == pytest.approx(1 - rate, abs=0.002)
    assert dropped[dropped > 0].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=1e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_neighbours_are_independent():
    """Four numbers share a draw of 64 bits; all sixteen patterns of four come as often as due."""
    torch.manual_seed(0)
    kept = (QuickDropout(0.5)(torch.ones(400_000)) > 0).view(-1, 4)
    patterns = (kept * torch.tensor([1, 2, 4, 8])).sum(1).bincount(minlength=16) / len(kept)
    assert torch.allclose(patterns, torch.full((16,), 1 / 16), atol=0.003)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 0), (5, 7, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_dtype(shape, dtype):
    x = torch.ones(shape, dtype=dtype)
    dropped = QuickDropout(0.5)(x)
    assert dropped.shape == x.shape and dropped.dtype == dtype
    assert set(dropped.flatten().tolist()) <= {0.0, 2.0}


def test_the_gradient_passes_where_the_number_did():
    x = torch.ones(100, requires_grad=True)
    dropped = QuickDropout(0.3)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_nothing_and_everything(rate):
    x = torch.arange(1.0, 6.0)
    assert torch.equal(QuickDropout(rate)(x), x * (1 - rate))


def test_evaluation_leaves_all_as_it_is():
    x = torch.rand(50)
    assert QuickDropout(0.5).eval()(x) is x


def test_the_same_seed_drops_the_same():
    module, x = QuickDropout(0.5), torch.ones(1000)
    torch.manual_seed(3)
    once = module(x)
    torch.manual_seed(3)
    assert torch.equal(module(x), once)
    assert not torch.equal(module(x), once)


def test_quicken_replaces_all_and_keeps_rates_and_mode():
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4)))
    model[1].eval()
    before = list(model.state_dict())
    quicken(model)
    quick = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [type(module) for module in quick] == [QuickDropout] * 2
    assert [module.p for module in quick] == [0.1, 0.4]
    assert [module.training for module in quick] == [True, False]
    assert list(model.state_dict()) == before
