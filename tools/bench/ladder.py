"""What each change to a training step gives: from the plain model to `annotated train`, by rungs.

All rungs are one model at one task and take the same step, `Run.update` of the loop, with
parts of it replaced by plainer ones.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from annotated.data.batching import Batch, Encoded, collate
from annotated.fast import packing
from annotated.fast.matmul_precision import choose_matmul_precision
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.results import commit
from annotated.training import loop
from annotated.training.loss import smoothed_loss
from annotated.training.optimizer import BETAS, EPS
from tools.bench import report, work
from tools.bench.contenders import CONTENDERS, SMOOTHING, Contender
from tools.bench.measure import Entry, build, in_fresh_process, peak_memory, precision, race
from tools.bench.train import (
    MEMORY_STEPS,
    QUICK,
    SEED,
    WARM,
    Amount,
    Batches,
    described,
    steps,
    workloads,
)

# Each rung has what those before it have.
RUNGS = ["plain", "packing", "products", "fused loss", "fused Adam", "quick dropout"]
SIZES = ["small", "base-8k"]


class Padded(nn.Module):
    """`packing.Objective` as in Sections 3.1 and 5.4: pads all the way, logits in one piece."""

    def __init__(self, model: Transformer, smoothing: float):
        super().__init__()
        self.model = model
        self.smoothing = smoothing

    def forward(self, batch: Batch, scale: Tensor | None = None) -> Tensor:
        """The smoothed loss in nats, summed over all tokens of batch.target_out."""
        logits = self.model(batch.source, batch.target_in)  # (B, T, V)
        return smoothed_loss(logits, batch.target_out, self.smoothing, self.model.config.pad)


def whole_loss(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float,
    pad: int,
    scale: Tensor | None = None,
) -> Tensor:
    """`fused_loss` with the logits in one piece: x (N, D), weight (V, D), target (N,)"""
    return smoothed_loss(nn.functional.linear(x, weight), target, smoothing, pad)


def rung(name: str, chosen: str, config: TransformerConfig) -> Contender:
    """The step with all changes up to this one; `chosen` is the precision of products."""
    has = RUNGS[: RUNGS.index(name) + 1]
    torch.set_float32_matmul_precision(chosen if "products" in has else "highest")
    quicken = loop.quicken if "quick dropout" in has else lambda model: None
    with mock.patch.object(loop, "quicken", quicken):
        run = loop.Run(Transformer(config), loop.TrainingConfig(smoothing=SMOOTHING))
    if "packing" not in has:
        run.objective = Padded(run.model, SMOOTHING)
    if "fused Adam" not in has:
        run.optimizer = torch.optim.Adam(run.model.parameters(), lr=0.0, betas=BETAS, eps=EPS)
    loss = packing.fused_loss if "fused loss" in has else whole_loss

    def step(batch: Batch) -> float:
        with mock.patch.object(packing, "fused_loss", loss):
            return run.update(batch)

    return Contender(name, run.model, collate, step, torch.get_float32_matmul_precision())


def built(name: str, chosen: str, config: TransformerConfig) -> Contender:
    """A rung from the same seed as all the others."""
    with mock.patch.dict(CONTENDERS, {name: partial(rung, name, chosen)}):
        return build(name, config)


def peak_of(
    name: str, chosen: str, config: TransformerConfig, batch: Sequence[Encoded], steps: int
) -> int:
    """`peak_memory` of a rung; to be called in a fresh process."""
    with mock.patch.dict(CONTENDERS, {name: partial(rung, name, chosen)}):
        return peak_memory(name, config, batch, steps)


def add_options(command: argparse.ArgumentParser) -> None:
    """What can be set."""
    command.add_argument("--sizes", nargs="+", choices=list(work.SIZES), default=SIZES)
    command.add_argument(
        "--batches", type=int, default=Amount.batches, help="measured, of each kind"
    )


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench ladder"""
    began, at_commit = time.perf_counter(), commit()
    sizes = {"tiny": work.TINY} if options.quick else {x: work.SIZES[x] for x in options.sizes}
    amount = QUICK if options.quick else Amount(batches=options.batches)
    with precision("highest"):
        chosen = choose_matmul_precision()
    table: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    for size, config in sizes.items():
        pairs = work.sentences(amount.pool, config.vocab_size, SEED)
        rungs = [built(name, chosen, config) for name in RUNGS]
        for kind, batches in workloads(pairs, amount).items():
            report.say(f"{size}, {kind}: time")
            rows = race([Entry(each, each.precision, []) for each in rungs], batches, WARM)
            curve += steps((size, kind), batches, rows)
            report.say(f"{size}, {kind}: memory")
            memory = memory_of(config, chosen, batches)
            table += summary((size, kind), config, batches, rows, memory)
        del rungs  # before the models of the next size are built
    title = "A training step, rung by rung; each rung has what those above it have"
    print(report.table(title, table))
    print(f"\nThreads: {torch.get_num_threads()}; products: {chosen}")
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=work.fingerprint(pairs, SEED) | described(amount),
            config={
                "sizes": {size: asdict(config) for size, config in sizes.items()},
                **asdict(amount),
                "warm_up_steps": WARM,
                "memory_steps": MEMORY_STEPS,
                "rungs": RUNGS,
            },
            seconds=time.perf_counter() - began,
            curve=curve,
            scores={"products": chosen, "table": table},
        )


def memory_of(config: TransformerConfig, chosen: str, batches: Batches) -> dict[str, int]:
    """The peak bytes of each rung on the largest batch, each in a fresh process."""
    largest = max(batches, key=lambda batch: sum(work.padded(batch)))
    return {
        name: in_fresh_process(peak_of, name, chosen, config, largest, MEMORY_STEPS)
        for name in RUNGS
    }


def summary(
    kind: tuple[str, str],
    config: TransformerConfig,
    batches: Batches,
    rows: Sequence[Entry],
    memory: dict[str, int],
) -> list[dict[str, Any]]:
    """A row of the table for each rung: how often it is as fast as the first, as the one before."""
    flops = sum(work.model_flops(config, batch) for batch in batches)
    real = sum(sum(work.tokens(batch)) for batch in batches)
    total = [sum(row.seconds) for row in rows]
    gains = [1.0, *(before / after for before, after in pairwise(total))]
    return [
        {
            "size": kind[0],
            "batches": kind[1],
            "rung": row.contender.name,
            "precision": row.precision,
            "ms/step": 1000 * seconds / len(batches),
            "median ms": 1000 * statistics.median(row.seconds),
            "tokens/s": real / seconds,
            "times plain": total[0] / seconds,
            "times before": gain,
            "GFLOP/s": flops / seconds / 1e9,
            "peak MiB": memory[row.contender.name] / 2**20,
        }
        for row, seconds, gain in zip(rows, total, gains, strict=True)
    ]
