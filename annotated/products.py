# Tangled from chapters/5-2-speed.md: change it there, then run `make tangle`.
"""Which of PyTorch's ways to multiply float32 matrices is fast here, and exact enough."""

import time

import torch

SETTINGS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision


def try_products(setting: str, rows: int = 512, width: int = 512) -> tuple[float, float]:
    """One product of (rows, width) and (width, width): its seconds and its relative error."""
    left, right = torch.randn(rows, width), torch.randn(width, width)
    torch.set_float32_matmul_precision(setting)
    began = time.perf_counter()
    product = left @ right
    seconds = time.perf_counter() - began
    exact = left.double() @ right.double()
    return seconds, ((product - exact).norm() / exact.norm()).item()


def choose_products(tries: int = 7) -> str:
    """Measure, then set the fastest setting whose error is like the default's; returns its name.

    A setting has to be 1.2 times as fast as the default and its error at most 4 times as large:
    rounding to 16 bits on the way would make it a thousand times as large.
    """
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    measured = {name: [try_products(name) for _ in range(tries)] for name in SETTINGS}
    torch.random.set_rng_state(state)
    seconds = {name: min(one[0] for one in found) for name, found in measured.items()}
    error = {name: max(one[1] for one in found) for name, found in measured.items()}
    fit = [n for n in SETTINGS if error[n] <= 4 * error["highest"]]
    best = min(fit, key=seconds.__getitem__)
    choice = best if 1.2 * seconds[best] < seconds["highest"] else "highest"
    torch.set_float32_matmul_precision(choice)
    return choice
