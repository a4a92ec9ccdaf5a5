# Tangled from chapters/fast/training-speed.md: change it there, then run `make tangle`.
"""Which of PyTorch's ways to multiply float32 matrices is fast here, and exact enough."""

import time
from collections.abc import Mapping

import torch

SETTINGS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision


def time_product(setting: str, rows: int = 512, width: int = 512) -> tuple[float, float]:
    """One product of (rows, width) and (width, width): its seconds and its relative error.

    The matrices are the same at each call. PyTorch keeps the setting.
    """
    drawn = torch.Generator().manual_seed(0)  # its own: nobody else's random numbers move
    left, right = (torch.randn(n, width, generator=drawn) for n in (rows, width))
    torch.set_float32_matmul_precision(setting)
    began = time.perf_counter()
    product = left @ right
    seconds = time.perf_counter() - began
    exact = left.double() @ right.double()
    return seconds, ((product - exact).norm() / exact.norm()).item()


ERROR = 4.0  # times the default's error, at most: 16-bit inputs come to thousands
GAIN = 1.2  # times as fast as the default, at least: less may be chance


def best_setting(seconds: Mapping[str, float], error: Mapping[str, float]) -> str:
    """The fastest setting whose error is like that of "highest", if it is worth leaving that."""
    exact = [name for name in seconds if error[name] <= ERROR * error["highest"]]
    best = min(exact, key=seconds.__getitem__)
    return best if GAIN * seconds[best] <= seconds["highest"] else "highest"


def choose_matmul_precision(tries: int = 7, rows: int = 512, width: int = 512) -> str:
    """Measure, then set the fastest setting whose error is like the default's; returns its name.

    For a CPU, and products of (rows, width) and (width, width): training has many rows, decoding
    few. A setting has to be 1.2 times as fast as the default, and its error at most 4 times as
    large: rounding to 16 bits on the way would make it thousands of times as large.
    """
    found = [{name: time_product(name, rows, width) for name in SETTINGS} for _ in range(tries)]
    seconds = {name: min(turn[name][0] for turn in found) for name in SETTINGS}
    error = {name: max(turn[name][1] for turn in found) for name in SETTINGS}
    choice = best_setting(seconds, error)
    torch.set_float32_matmul_precision(choice)
    return choice


def gain_in(dtype: torch.dtype, tries: int = 3, rows: int = 512, width: int = 512) -> float:
    """How many times as fast as in float32 a product is under autocast to dtype, on this CPU.

    The product is that of `time_product`; of all tries the fastest counts.
    """
    drawn = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, width, generator=drawn) for n in (rows, width))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(tries):
        for low, taken in seconds.items():  # in turn
            with torch.autocast("cpu", dtype, enabled=low):
                began = time.perf_counter()
                left @ right
                taken.append(time.perf_counter() - began)
    return min(seconds[False]) / min(seconds[True])


def is_fast(dtype: torch.dtype, device: torch.device, width: int = 512) -> bool:
    """Whether products in these 16 bits are faster than in float32: by measure on a CPU.

    width: of the model; narrow products gain less than the conversion takes. Every GPU has
    fp16. Those of compute capability 8 and more have bf16, which older ones emulate.
    """
    if device.type == "cpu":
        return gain_in(dtype, width=width) >= GAIN
    new = torch.cuda.get_device_capability(device)[0] >= 8
    return dtype == torch.float16 or (new and torch.cuda.is_bf16_supported())
