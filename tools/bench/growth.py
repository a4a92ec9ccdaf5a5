"""How a training step's cost grows with length, batch and width; where attention overtakes.

Of this package alone. Each point is measured in a fresh process, so that its memory is its own.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from annotated.model.attention import attention, causal_mask
from annotated.model.transformer import TransformerConfig
from annotated.results import commit
from tools.bench import report, work
from tools.bench.measure import build, in_fresh_process, peak_memory, precision, timed

SEED = 1
STEPS = 3  # of which the median counts
TOKENS = 2048  # a side, in the series of lengths
SMALL = work.SIZES["small"]
Point = tuple[str, TransformerConfig, int, int]  # series, sizes, sentences, length of both sides


def of_width(d_model: int) -> TransformerConfig:
    """The small model at another width: heads of 64 and four times as many hidden units."""
    return replace(SMALL, d_model=d_model, d_ff=4 * d_model, heads=d_model // 64)


def points(quick: bool) -> list[Point]:
    """What is measured: length at constant tokens a batch, batch at one length, width."""
    if quick:
        return [("length, tiny", work.TINY, 64 // n, n) for n in (8, 32)] + [
            ("batch, tiny", work.TINY, 2, 8),
            ("width, tiny", replace(work.TINY, d_model=64), 2, 8),
        ]
    return [
        *(
            (f"length, d_model {d}", of_width(d), TOKENS // n, n)
            for d in (64, 128, 256)
            for n in (16, 32, 64, 128, 256, 512, 1024, 2048)
        ),
        *(("batch, length 32, d_model 256", SMALL, 2**i, 32) for i in range(8)),
        *(("width, length 32", of_width(d), 64, 32) for d in (64, 128, 256, 512)),
    ]


def add_options(command: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench growth"""
    began, at_commit = time.perf_counter(), commit()
    rows = []
    for point in points(options.quick):
        report.say(f"{point[0]}: {point[2]} x {point[3]}, d_model {point[1].d_model}")
        rows.append(measured(*point))
    series = {name: [row for row in rows if row["series"] == name] for name in names_of(rows)}
    for name, lines in series.items():
        shown = [{key: line[key] for key in line if key != "series"} for line in lines]
        print(report.table(name, shown) + "\n")
    crossings = {
        name: {
            "measured": crossing([(line["length"], line["share"]) for line in lines]),
            "by FLOPs": work.crossing(config_of(name, options.quick)),
        }
        for name, lines in series.items()
        if name.startswith("length")
    }
    for name, found in crossings.items():
        at = f"at {found['measured']:.0f}" if found["measured"] else "at none of these lengths"
        print(f"{name}: attention takes half of the step {at}; by FLOPs: {found['by FLOPs']:.0f}")
    if options.record:
        sizes = {f"{name}, {n}": asdict(config) for name, config, _, n in points(options.quick)}
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data={"name": "sentences of random tokens, all of one length", "seed": SEED},
            config={"points": sizes, "steps": STEPS},
            seconds=time.perf_counter() - began,
            curve=rows,
            scores={"crossing": crossings},
        )


def names_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The series, in order."""
    return list(dict.fromkeys(row["series"] for row in rows))


def config_of(series: str, quick: bool) -> TransformerConfig:
    """The sizes of a series of lengths."""
    return next(config for name, config, _, _ in points(quick) if name == series)


def measured(series: str, config: TransformerConfig, sentences: int, length: int) -> dict[str, Any]:
    """A point: time of a step, of its attention, the rest; memory; the same in FLOPs."""
    pairs = [one_length(config, length, seed) for seed in range(sentences)]
    peak, seconds, inside = in_fresh_process(costs, config, pairs, length)
    attending = sentences * work.attention_flops(config, length, length)
    flops = work.model_flops(config, pairs)
    return {
        "series": series,
        "d_model": config.d_model,
        "sentences": sentences,
        "length": length,
        "ms/step": 1000 * seconds,
        "attention ms": 1000 * inside,
        "rest ms": 1000 * (seconds - inside),
        "share": inside / seconds,
        "share of FLOPs": attending / flops,
        "us/token": 1e6 * seconds / (2 * sentences * length),
        "GFLOP/s": flops / seconds / 1e9,
        "peak MiB": peak / 2**20,
    }


def one_length(config: TransformerConfig, length: int, seed: int) -> tuple[list[int], list[int]]:
    """A sentence pair with so many tokens on each side, EOS included."""
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, config.vocab_size, (2, length - 1), generator=drawn).tolist()
    return ids[0], ids[1]


def costs(
    config: TransformerConfig, pairs: Sequence[work.Encoded], length: int
) -> tuple[int, float, float]:
    """A step's peak bytes, its seconds, and those of all the attention in it, there and back."""
    peak = peak_memory("annotated", config, pairs, steps=2)
    contender = build("annotated", config)
    batch = contender.prepare(pairs)
    with precision(contender.precision):
        step = median(lambda: contender.step(batch))
        allowed = torch.ones(len(pairs), 1, 1, length, dtype=torch.bool)
        masks = [allowed, causal_mask(length), allowed]  # encoder's, decoder's, across
        inside = sum(attention_time(config, len(pairs), length, mask) for mask in masks)
    return peak, step, config.layers * inside


def median(function: Any) -> float:
    """The seconds of a call, the median of some after one that warms up."""
    function()
    return statistics.median(timed(function) for _ in range(STEPS))


def attention_time(config: TransformerConfig, sentences: int, length: int, mask: Tensor) -> float:
    """The seconds of equation 1 and its gradient, for all heads of one attention.

    By itself, on queries, keys and values of the shapes that the model has: projections belong
    to the rest.
    """
    shape = sentences, config.heads, length, config.d_model // config.heads
    query, key, value = (torch.randn(shape, requires_grad=True) for _ in range(3))
    upstream = torch.randn(shape)

    def there_and_back() -> None:
        heads, _ = attention(query, key, value, mask)
        torch.autograd.grad(heads, (query, key, value), upstream)

    return median(there_and_back)


def crossing(shares: Sequence[tuple[int, float]]) -> float | None:
    """The length at which attention takes half of the step, None where it never does.

    Between two measured lengths, along a line over the logarithm of the length.
    """
    for (n, share), (m, more) in zip(shares, shares[1:], strict=False):
        if share < 0.5 <= more:
            part = (0.5 - share) / (more - share)
            return math.exp(math.log(n) + part * math.log(m / n))
    return None
