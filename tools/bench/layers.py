"""What a layer of Table 1 costs in time, against the length of a sentence and the width.

Forward and backward over as many tokens at every length, in processor time of one thread: other
work on the machine disturbs that least. Self-attention is also timed in its two parts, the linear
maps and the pairs of positions, and with PyTorch's fused attention, which never writes the weights
to memory; the recurrent layer also as PyTorch has it.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.evidence.convolutional import Convolution, SeparableConvolution
from annotated.evidence.recurrent import LSTM
from annotated.model.attention import MultiHeadAttention, View, attention
from annotated.results import commit
from tools.bench import report
from tools.bench.growth import crossing

SEED = 1
REPEATS = 9  # of which the least counts
TOKENS = 2048  # in every batch
HEAD = 64  # features of a head
WIDTH = 5  # of the convolutions
LENGTHS = [2**i for i in range(4, 12)]
WIDTHS = [64, 128, 256, 512]


class Fused(View):
    """Equation 1 by PyTorch's own function, tile by tile: no weights are written."""

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, None]:
        """query (B, H, T, K), key (B, H, S, K), value (B, H, S, K') -> (B, H, T, K'), None."""
        return F.scaled_dot_product_attention(query, key, value), None


def layers(d_model: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The layers of one width, and the parts of self-attention: (B, S, D) -> (B, S, D)."""
    heads = max(1, d_model // HEAD)
    attend, ours = MultiHeadAttention(d_model, heads), LSTM(d_model)
    theirs = nn.LSTM(d_model, d_model, batch_first=True)

    def maps(x: Tensor) -> Tensor:
        return attend.output(attend.query(x) + attend.key(x) + attend.value(x))

    def pairs(x: Tensor) -> Tensor:
        each = attend.split(x)  # (B, H, S, K), for queries, keys and values
        return attend.merge(attention(each, each, each)[0])

    def fused_pairs(x: Tensor) -> Tensor:
        each = attend.split(x)
        return attend.merge(F.scaled_dot_product_attention(each, each, each))

    return {
        "self-attention": lambda x: attend(x, x),
        "self-attention, fused": lambda x: attend(x, x, Fused()),
        "its maps": maps,
        "its pairs": pairs,
        "its pairs, fused": fused_pairs,
        "recurrent": lambda x: ours(x)[0],
        "recurrent, nn.LSTM": lambda x: theirs(x)[0],
        "convolution": Convolution(d_model, WIDTH),
        "separable convolution": SeparableConvolution(d_model, WIDTH),
    }


def add_options(command: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench layers"""
    began, at_commit = time.perf_counter(), commit()
    tokens, lengths, widths = TOKENS, LENGTHS, WIDTHS
    if options.quick:
        tokens, lengths, widths = 32, [4, 32], [8]
    rows = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for d_model in widths:
            report.say(f"d_model {d_model}: {tokens} tokens in sentences of {lengths}")
            rows += measured(d_model, lengths, tokens)
    finally:
        torch.set_num_threads(threads)
    print(report.table("ms, forward and backward", rows))
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data={"name": "random vectors, of variance 1", "seed": SEED},
            config={
                "tokens": tokens,
                "features of a head": HEAD,
                "width of the convolutions": WIDTH,
                "repeats": REPEATS,
                "threads": 1,
            },
            seconds=time.perf_counter() - began,
            curve=rows,
            scores={"crossings": crossings(rows)},
        )


def measured(d_model: int, lengths: list[int], tokens: int) -> list[dict[str, Any]]:
    """A row for each length: the milliseconds of each layer. The layers take turns."""
    torch.manual_seed(SEED)
    ours = layers(d_model)
    rows = []
    for length in lengths:
        x = torch.randn(tokens // length, length, d_model, requires_grad=True)
        upstream = torch.randn_like(x)
        seconds: dict[str, list[float]] = {name: [] for name in ours}
        for _ in range(REPEATS):
            for name, layer in ours.items():
                start = time.process_time()
                layer(x).backward(upstream)
                seconds[name].append(time.process_time() - start)
        times = {name: 1000 * min(each) for name, each in seconds.items()}
        rows.append({"d_model": d_model, "length": length} | times)
    return rows


def crossings(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """For each width, from which length on self-attention, or its pairs, take longer."""
    against = {
        "pairs, maps": ("its pairs", "its maps"),
        "fused pairs, maps": ("its pairs, fused", "its maps"),
        "self-attention, recurrent": ("self-attention", "recurrent"),
        "self-attention, nn.LSTM": ("self-attention", "recurrent, nn.LSTM"),
        "self-attention, convolution": ("self-attention", "convolution"),
    }
    return {
        what: {
            str(d_model): crossing(
                [
                    (row["length"], row[one] / (row[one] + row[other]))
                    for row in rows
                    if row["d_model"] == d_model
                ]
            )
            for d_model in dict.fromkeys(row["d_model"] for row in rows)
        }
        for what, (one, other) in against.items()
    }
