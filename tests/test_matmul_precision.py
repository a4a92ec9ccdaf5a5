"""Products: what is measured, what is chosen, and that the choice is set."""

import math

import numpy as np
import pytest
import torch

from annotated.fast import matmul_precision
from annotated.fast.matmul_precision import (
    ERROR,
    GAIN,
    SETTINGS,
    best_setting,
    choose_matmul_precision,
    gain_in,
    is_fast,
    time_product,
)


@pytest.fixture(autouse=True)
def as_before():
    """Whatever a test chooses, the next one begins as this one did."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def machine(monkeypatch, **settings):
    """A machine on which settings take (seconds, error); those not named are like the default."""
    calls = []

    def tried(setting, *sizes):
        calls.append(setting)
        torch.set_float32_matmul_precision(setting)
        return settings.get(setting, (1.0, 2e-7))

    monkeypatch.setattr(matmul_precision, "time_product", tried)
    return calls


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({}, "highest"),
        ({"medium": (0.45, 4e-7)}, "medium"),  # fast and exact
        ({"high": (0.45, 2e-7)}, "high"),
        ({"high": (0.6, 2e-7), "medium": (0.5, 2e-7)}, "medium"),
        ({"medium": (0.1, 2e-3)}, "highest"),  # fast, but coarse
        ({"high": (0.5, 2e-7), "medium": (0.1, 2e-3)}, "high"),
        ({"medium": (0.9, 2e-7)}, "highest"),  # hardly faster
        ({"high": (2.0, 2e-7), "medium": (2.0, 1e-7)}, "highest"),
        ({"medium": (0.1, math.nan)}, "highest"),
        ({"medium": (0.1, math.inf)}, "highest"),
    ],
)
def test_the_fastest_that_is_exact_enough_is_chosen_and_set(monkeypatch, settings, choice):
    machine(monkeypatch, **settings)
    for start in SETTINGS:
        torch.set_float32_matmul_precision(start)
        assert choose_matmul_precision() == choice
        assert torch.get_float32_matmul_precision() == choice


def test_the_limits_are_those_that_are_said():
    equal = dict.fromkeys(SETTINGS, 1.0)
    assert best_setting(equal | {"medium": 1 / GAIN}, equal) == "medium"
    assert best_setting(equal | {"medium": 1.01 / GAIN}, equal) == "highest"
    assert best_setting(equal | {"medium": 0.1}, equal | {"medium": ERROR}) == "medium"
    assert best_setting(equal | {"medium": 0.1}, equal | {"medium": 1.01 * ERROR}) == "highest"


def test_settings_take_turns(monkeypatch):
    calls = machine(monkeypatch)
    choose_matmul_precision(tries=3)
    assert calls == list(SETTINGS) * 3


def test_a_disturbed_try_counts_neither_for_speed_nor_against_it(monkeypatch):
    """The fastest try counts, whatever the others took."""
    times = iter([9.0, 9.0, 9.0, 1.0, 1.0, 0.4])
    monkeypatch.setattr(
        matmul_precision, "time_product", lambda setting, *sizes: (next(times), 2e-7)
    )
    assert choose_matmul_precision(tries=2) == "medium"


def test_the_largest_error_counts(monkeypatch):
    errors = iter([2e-7, 2e-7, 2e-7, 2e-7, 2e-7, 2e-3])
    seconds = {"highest": 1.0, "high": 1.0, "medium": 0.1}
    monkeypatch.setattr(
        matmul_precision, "time_product", lambda name, *sizes: (seconds[name], next(errors))
    )
    assert choose_matmul_precision(tries=2) == "highest"


def test_a_try_measures_the_product_under_its_setting(monkeypatch):
    """The setting is on while the product is computed, and its rounding shows in the error."""
    seconds, plain = time_product("highest")
    assert seconds > 0 and 0 < plain < 1e-6
    assert torch.get_float32_matmul_precision() == "highest"

    true_product = torch.Tensor.__matmul__

    def rounding(left, right):
        if left.dtype == torch.float32 and torch.get_float32_matmul_precision() == "medium":
            left, right = left.bfloat16().float(), right.bfloat16().float()
        return true_product(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounding)
    assert time_product("highest")[1] == plain
    assert time_product("medium")[1] > 1000 * plain


def test_the_error_is_that_against_numpy_in_double_precision():
    torch.set_float32_matmul_precision("highest")
    drawn = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, 64, generator=drawn) for n in (32, 64))
    exact = left.numpy().astype(np.float64) @ right.numpy().astype(np.float64)
    expected = np.linalg.norm((left @ right).numpy() - exact) / np.linalg.norm(exact)
    assert time_product("highest", rows=32, width=64)[1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_gain_is_of_a_product_under_autocast_and_the_fastest_try_counts(monkeypatch, dtype):
    seen, ticks, product = [], iter([0, 6, 10, 14, 20, 23, 30, 31]), torch.Tensor.__matmul__

    def spy(left, right):
        seen.append(product(left, right).dtype)
        return product(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", spy)
    monkeypatch.setattr(matmul_precision.time, "perf_counter", lambda: next(ticks))
    assert gain_in(dtype, tries=2) == 3 / 1  # float32: 6 and 3, 16 bits: 4 and 1
    assert seen == [torch.float32, dtype] * 2


@pytest.mark.parametrize(("gain", "fast"), [(0.01, False), (1.1, False), (GAIN, True), (4, True)])
def test_on_a_cpu_the_clock_says_whether_16_bits_are_fast(monkeypatch, gain, fast):
    asked = []
    monkeypatch.setattr(
        matmul_precision, "gain_in", lambda dtype, width: asked.append(width) or gain
    )
    assert is_fast(torch.bfloat16, torch.device("cpu"), width=96) == fast
    assert asked == [96]


@pytest.mark.parametrize(
    ("capability", "supported", "bf16"),
    [((6, 0), True, False), ((7, 5), True, False), ((8, 0), True, True), ((9, 0), False, False)],
)
def test_on_a_gpu_its_generation_says_it(monkeypatch, capability, supported, bf16):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert is_fast(torch.bfloat16, torch.device("cuda")) == bf16
    assert is_fast(torch.float16, torch.device("cuda"))


def test_nobody_elses_random_numbers_move():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    choose_matmul_precision(tries=1)
    gain_in(torch.bfloat16, tries=1)
    assert torch.rand(5).equal(expected)


def test_the_chosen_products_are_as_exact_as_the_defaults():
    choice = choose_matmul_precision()
    assert torch.get_float32_matmul_precision() == choice
    assert time_product(choice)[1] <= ERROR * time_product("highest")[1]
