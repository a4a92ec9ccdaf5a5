"""Optimizer: Adam, fused and by hand, and the schedule of equation 3."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from annotated.model.transformer import PRESETS
from annotated.training.optimizer import adam, learning_rate

CONSTANTS = {"lr": 0.0, "betas": (0.9, 0.98), "eps": 1e-9}


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """A small model whose tensors fill no vector register, one, and many."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 70), nn.LayerNorm(70), nn.Linear(70, 1)).to(dtype)


def gradients(model: nn.Module, steps: int, seed: int = 1) -> list[list[Tensor]]:
    """A gradient for each weight and step, of sizes from 1e-6 to 1e3."""
    torch.manual_seed(seed)
    sizes = 10.0 ** torch.linspace(-6, 3, len(list(model.parameters())))
    return [
        [size * torch.randn_like(w) for size, w in zip(sizes, model.parameters(), strict=True)]
        for _ in range(steps)
    ]


def walk(
    model: nn.Module, optimizer: torch.optim.Optimizer, way: list[list[Tensor]], first: int = 1
) -> None:
    """Steps with the given gradients, with the rate set as the training loop sets it."""
    for step, one in enumerate(way, first):
        optimizer.param_groups[0]["lr"] = learning_rate(step, 16, warmup=5)
        for weight, gradient in zip(model.parameters(), one, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()


def by_hand(weight: Tensor, way: list[Tensor]) -> np.ndarray:
    """Where the formulas of Kingma and Ba lead, in numpy, in double precision."""
    w = weight.detach().double().numpy().copy()
    m, v = np.zeros_like(w), np.zeros_like(w)
    for step, g in enumerate((one.double().numpy() for one in way), 1):
        m = 0.9 * m + 0.1 * g
        v = 0.98 * v + 0.02 * g**2
        ratio = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.98**step)) + 1e-9)
        w = w - learning_rate(step, 16, warmup=5) * ratio
    return w


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether all weights are equal to the last bit."""
    return all(x.equal(y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def stored(optimizer: torch.optim.Optimizer) -> dict:
    """The optimizer's state after a way through a file."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


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


def test_a_shared_weight_moves_once():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    before = model[0].weight.detach().clone()
    optimizer = adam(model)
    optimizer.param_groups[0]["lr"] = 0.5
    model[0].weight.grad = torch.ones(3, 3)
    optimizer.step()
    assert_close(before - model[0].weight.detach(), torch.full((3, 3), 0.5))


def test_one_step_moves_each_weight_by_the_learning_rate():
    model = nn.Linear(3, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = adam(model)
    optimizer.param_groups[0]["lr"] = 0.25
    model.weight.grad = torch.tensor([[3.0, -0.001, 7.0]])
    optimizer.step()
    moved = before - model.weight.detach()
    assert torch.allclose(moved, torch.tensor([[0.25, -0.25, 0.25]]), atol=1e-5)


@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_many_steps_are_those_of_the_formulas(dtype, rtol):
    model = network(dtype)
    start, way = copy.deepcopy(model), gradients(model, steps=40)
    walk(model, adam(model), way)
    for i, (weight, first) in enumerate(zip(model.parameters(), start.parameters(), strict=True)):
        there = by_hand(first, [one[i] for one in way])
        np.testing.assert_allclose(weight.detach().numpy(), there, rtol, atol=rtol / 10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_agrees_with_the_loop_of_pytorch(dtype):
    ours = network(dtype)
    theirs, way = copy.deepcopy(ours), gradients(ours, steps=40)
    walk(ours, adam(ours), way)
    walk(theirs, torch.optim.Adam(theirs.parameters(), **CONSTANTS, foreach=False), way)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(a, b)


def has_fused_adam() -> bool:
    try:
        torch.optim.Adam([nn.Parameter(torch.zeros(1))], fused=True)
    except RuntimeError:
        return False
    return True


@pytest.mark.skipif(not has_fused_adam(), reason="this PyTorch has no fused Adam on a CPU")
def test_it_is_fused_where_pytorch_can():
    assert adam(network()).param_groups[0]["fused"] is True


def test_where_pytorch_has_none_it_is_the_usual_one(monkeypatch):
    class Older(torch.optim.Adam):  # as PyTorch 2.3 on a CPU
        def __init__(self, *given, fused=None, **named):
            super().__init__(*given, **named)
            if fused:
                raise RuntimeError("`fused=True` requires all the params to be on a GPU")

    monkeypatch.setattr(torch.optim, "Adam", Older)
    model = network()
    optimizer = adam(model)
    group = optimizer.param_groups[0]
    assert not group["fused"]
    assert (group["betas"], group["eps"], group["lr"]) == ((0.9, 0.98), 1e-9, 0.0)
    assert len(group["params"]) == len(list(model.parameters()))
    walk(model, optimizer, gradients(model, steps=2))


def test_a_resumed_run_goes_the_same_way_bit_for_bit():
    straight = network()
    way, optimizer = gradients(straight, steps=12), adam(straight)
    walk(straight, optimizer, way[:7])
    resumed, state = copy.deepcopy(straight), stored(optimizer)
    walk(straight, optimizer, way[7:], first=8)

    again = adam(resumed)
    again.load_state_dict(state)
    walk(resumed, again, way[7:], first=8)
    assert same(straight, resumed)

    forgetful = network()  # the state matters: without it the way is another
    walk(forgetful, adam(forgetful), way[7:], first=8)
    assert not same(straight, forgetful)


@pytest.mark.parametrize("saved_by_the_plain", [True, False])
def test_either_kind_goes_on_from_the_state_of_the_other(saved_by_the_plain):
    def make(model: nn.Module, plain: bool) -> torch.optim.Optimizer:
        if not plain:
            return adam(model)
        return torch.optim.Adam(model.parameters(), **CONSTANTS, foreach=False)

    model = network(torch.float64)
    way, reference = gradients(model, steps=12), copy.deepcopy(model)
    walk(reference, make(reference, plain=True), way)

    before = make(model, saved_by_the_plain)
    walk(model, before, way[:7])
    after = make(model, not saved_by_the_plain)
    kind = {k: after.param_groups[0][k] for k in ("fused", "foreach")}
    after.load_state_dict(stored(before))
    after.param_groups[0].update(kind)  # a state brings its kind along; here it shall change
    walk(model, after, way[7:], first=8)
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name, width", [("base", 512), ("big", 1024)])
def test_the_schedule_of_the_paper_s_models_by_hand(name, width):
    def rate(step: int) -> float:
        return learning_rate(step, PRESETS[name].d_model)

    assert rate(1) == pytest.approx(1 / (math.sqrt(width) * 4000 * math.sqrt(4000)))
    assert rate(4000) == pytest.approx(1 / math.sqrt(width * 4000))
    assert rate(100_000) == pytest.approx(1 / math.sqrt(width * 100_000))
    assert rate(3999) < rate(4000) > rate(4001)


def test_known_values():
    assert learning_rate(4000, 512) == pytest.approx(6.988e-4, rel=1e-3)
    assert learning_rate(4000, 1024) == pytest.approx(4.941e-4, rel=1e-3)
    assert learning_rate(1, 512) == pytest.approx(1.747e-7, rel=1e-3)
    assert learning_rate(100_000, 512) == pytest.approx(1.398e-4, rel=1e-3)
    assert learning_rate(1, 1, warmup=1) == 1.0


@given(st.integers(1, 10**6), st.integers(1, 4096), st.integers(1, 10**5), st.floats(0.01, 10))
def test_it_grows_in_proportion_and_falls_as_the_inverse_root(step, d_model, warmup, scale):
    rate = learning_rate(step, d_model, warmup, scale)
    peak = scale * (d_model * warmup) ** -0.5
    before, after = step / warmup, math.sqrt(warmup / step)
    assert rate == pytest.approx(peak * min(before, after))


@pytest.mark.parametrize("step, warmup", [(0, 4000), (-1, 4000), (1, 0), (1, -5)])
def test_steps_count_from_one(step, warmup):
    with pytest.raises(ValueError, match="count from 1"):
        learning_rate(step, 512, warmup)
