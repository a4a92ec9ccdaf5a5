"""annotated.optimizer: Adam's constants and the schedule of equation 3."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from annotated.optimizer import adam, learning_rate


def test_adam_has_the_constants_of_section_5_3():
    group = adam(nn.Linear(2, 2)).param_groups[0]
    assert group["betas"] == (0.9, 0.98)
    assert group["eps"] == 1e-9
    assert group["lr"] == 0.0
    assert group["weight_decay"] == 0


def test_adam_takes_every_weight():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    held = {id(w) for group in adam(model).param_groups for w in group["params"]}
    assert held == {id(w) for w in model.parameters()}


def test_the_base_model_peaks_at_the_end_of_the_warm_up():
    peak = learning_rate(4000, 512)
    assert peak == pytest.approx(1 / math.sqrt(512 * 4000))
    assert learning_rate(3999, 512) < peak > learning_rate(4001, 512)


def test_known_values():
    assert learning_rate(1, 512) == pytest.approx(512**-0.5 * 4000**-1.5)
    assert learning_rate(100_000, 512) == pytest.approx(512**-0.5 * 100_000**-0.5)
    assert learning_rate(100_000, 512, scale=2) == pytest.approx(2 * learning_rate(100_000, 512))


@given(st.integers(1, 10**6), st.integers(1, 4096), st.integers(1, 10**5))
def test_it_grows_in_proportion_and_falls_as_the_inverse_root(step, d_model, warmup):
    rate = learning_rate(step, d_model, warmup)
    peak = (d_model * warmup) ** -0.5
    before, after = step / warmup, math.sqrt(warmup / step)
    assert rate == pytest.approx(peak * min(before, after))


@pytest.mark.parametrize("step, warmup", [(0, 4000), (-1, 4000), (1, 0)])
def test_steps_count_from_one(step, warmup):
    with pytest.raises(ValueError, match="count from 1"):
        learning_rate(step, 512, warmup)


def test_one_step_moves_each_weight_by_the_learning_rate():
    model = nn.Linear(3, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = adam(model)
    optimizer.param_groups[0]["lr"] = 0.25
    model.weight.grad = torch.tensor([[3.0, -0.001, 7.0]])
    optimizer.step()
    moved = before - model.weight.detach()
    assert torch.allclose(moved, torch.tensor([[0.25, -0.25, 0.25]]), atol=1e-5)
