"""On a GPU: the paper's two models at the paper's batch, in bfloat16."""

import argparse
import time
from dataclasses import asdict
from typing import Any

import torch

from annotated.model.transformer import PRESETS
from annotated.results import commit
from tools.bench import report, work
from tools.bench.measure import build, product_flops, timed

SEED = 1
TOKENS = 25_000  # a side
POOL = 65_536
WARM, STEPS = 10, 30
PRODUCT = 8192


def add_options(command: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench gpu"""
    if not torch.cuda.is_available():
        raise report.UserError("gpu measures on a CUDA device, and PyTorch finds none here")
    began, at_commit = time.perf_counter(), commit()
    pool, warm, steps = (8192, 2, 4) if options.quick else (POOL, WARM, STEPS)
    pairs = work.sentences(pool, PRESETS["base"].vocab_size, SEED)
    peak = product_flops("highest", PRODUCT, torch.bfloat16, "cuda")
    rows = [measured(size, pairs, warm, steps, peak) for size in PRESETS]
    print(report.table(f"{torch.cuda.get_device_name()}, bfloat16", rows))
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=work.fingerprint(pairs, SEED),
            config={name: asdict(config) for name, config in PRESETS.items()}
            | {"batch_tokens": TOKENS, "warm_up_steps": warm, "steps": steps, "product": PRODUCT},
            seconds=time.perf_counter() - began,
            curve=rows,
            scores={"product_flops_per_second": peak, "table": rows},
        )


def measured(
    size: str, pairs: list[work.Encoded], warm: int, steps: int, peak: float
) -> dict[str, Any]:
    """The steps of one model on batches of like length, one after the other."""
    config = PRESETS[size]
    with torch.device("cuda"):
        contender = build("annotated", config)
    groups = work.like_length(pairs, TOKENS // work.MEAN, SEED)
    batches = [groups[i % len(groups)] for i in range(warm + steps)]
    prepared = [contender.prepare(batch) for batch in batches]
    torch.cuda.reset_peak_memory_stats()
    for batch in prepared[:warm]:
        contender.step(batch)
    seconds = timed(lambda: [contender.step(batch) for batch in prepared[warm:]])
    real = sum(sum(work.tokens(batch)) for batch in batches[warm:])
    flops = sum(work.model_flops(config, batch) for batch in batches[warm:])
    return {
        "size": size,
        "ms/step": 1000 * seconds / steps,
        "tokens/s": real / seconds,
        "target tokens/s": sum(work.tokens(batch)[1] for batch in batches[warm:]) / seconds,
        "TFLOP/s": flops / seconds / 1e12,
        "utilisation": flops / seconds / peak,
        "peak MiB": torch.cuda.max_memory_allocated() / 2**20,
    }
