"""A training step beside torch.nn.Transformer and Marian: time, peak memory, FLOPs."""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from annotated.data.batching import Encoded
from annotated.model.transformer import TransformerConfig
from annotated.results import commit
from tools.bench import report, work
from tools.bench.contenders import available
from tools.bench.measure import (
    Entry,
    build,
    entries,
    in_fresh_process,
    peak_memory,
    product_flops,
    race,
    ratios,
)

Batches = list[list[Encoded]]
SEED = 1
WARM = 1  # steps before the clock runs
MEMORY_STEPS = 3
PRECISIONS = ["highest", "high", "medium"]
AGAINST = "torch.nn.Transformer, highest"  # the row that the reach speaks of
REACH = [  # what, the sizes, the workloads, at least
    ("time", "base", "random", 4.0),
    ("time", "base", "like length", 2.8),
    ("time", "small", "like length", 2.8),
    ("memory", "base", "random", 0.85),
    ("memory", "base", "like length", 0.85),
]


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    sentences: int = 64  # a batch in random order
    batches: int = 8  # of each workload
    pool: int = 8192  # sentences, from which the batches of like length are made
    product: int = 4096  # rows of the large square product


QUICK = Amount(sentences=4, batches=2, pool=64, product=256)


def add_options(command: argparse.ArgumentParser) -> None:
    """What can be set: by default all is measured."""
    command.add_argument("--sizes", nargs="+", choices=list(work.SIZES), default=list(work.SIZES))
    command.add_argument(
        "--sentences", type=int, default=Amount.sentences, help="in a random batch"
    )
    command.add_argument(
        "--batches", type=int, default=Amount.batches, help="measured, of each kind"
    )
    command.add_argument(
        "--without-memory", action="store_true", help="leave peak memory out: time only"
    )


def workloads(pairs: Sequence[Encoded], amount: Amount) -> dict[str, Batches]:
    """The batches that are measured: the first of the random ones and of those of like length."""
    return {
        "random": work.random_order(pairs, amount.sentences)[: amount.batches],
        "like length": work.like_length(pairs, amount.sentences, SEED)[: amount.batches],
    }


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench train"""
    began, at_commit, names = time.perf_counter(), commit(), contenders_here(options.quick)
    sizes = {"tiny": work.TINY} if options.quick else {x: work.SIZES[x] for x in options.sizes}
    amount = QUICK if options.quick else Amount(options.sentences, options.batches)
    peaks = measured_products(amount.product)
    scores: dict[str, Any] = {"table": [], "parameters": {}}
    curve: list[dict[str, Any]] = []
    for size, config in sizes.items():
        report.say(f"{size}: time")
        pairs = work.sentences(amount.pool, config.vocab_size, SEED)
        every = workloads(pairs, amount)
        found, scores["parameters"][size] = races(config, names, every)
        peaks = {
            name: max(peaks[name], new) for name, new in measured_products(amount.product).items()
        }
        for workload, rows in found.items():
            memory = {}
            if not options.without_memory:
                report.say(f"{size}, {workload}: memory")
                memory = memory_of(config, names, every[workload])
            scores["table"] += summary((size, workload), config, every[workload], rows, memory)
            curve += steps((size, workload), every[workload], rows)
    for line in scores["table"]:  # by the best of all measured products
        line["utilisation"] = line["GFLOP/s"] * 1e9 / peaks[line["precision"]]
    padding = padding_of(pairs)
    scores |= {"product_flops_per_second": peaks, "reach": reached(scores["table"])}
    show(scores, padding)
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=work.fingerprint(pairs, SEED) | described(amount) | {"padding": padding},
            config={
                "sizes": {size: asdict(config) for size, config in sizes.items()},
                **asdict(amount),
                "warm_up_steps": WARM,
                "memory_steps": MEMORY_STEPS,
                "ratio": "seconds of the row / seconds of annotated as it comes, same batches",
                "flops": " ".join((work.model_flops.__doc__ or "").split()),
            },
            seconds=time.perf_counter() - began,
            curve=curve,
            scores=scores,
        )


def contenders_here(quick: bool) -> list[str]:
    """The contenders' names; a smoke test does without Marian where it is not installed."""
    names = available()
    if "Marian" not in names:
        lack = "transformers is not installed, so there is no Marian to compare with"
        if not quick:
            raise report.UserError(f"{lack}: run `make bench`, which installs it")
        report.say(lack)
    return names


def measured_products(size: int) -> dict[str, float]:
    """FLOP/s of the large product in each precision."""
    return {name: product_flops(name, size) for name in PRECISIONS}


def races(
    config: TransformerConfig, names: Sequence[str], every: Mapping[str, Batches]
) -> tuple[dict[str, list[Entry]], dict[str, int]]:
    """The contenders of one size in turn on each workload; and the parameters of each."""
    contenders = [build(name, config) for name in names]
    parameters = {each.name: each.parameters for each in contenders}
    return {
        name: race(entries(contenders), batches, WARM) for name, batches in every.items()
    }, parameters


def described(amount: Amount) -> dict[str, str]:
    """The two workloads in words."""
    return {
        "random": f"batches of {amount.sentences} sentences in random order",
        "like length": f"batches of at most {work.budget(amount.sentences)} tokens a side, padding "
        "not counted, as annotated.data.batching.plan makes them of the same sentences",
    }


def padding_of(pairs: Sequence[Encoded]) -> dict[str, float]:
    """The share of padding in all batches of the pairs, for a few numbers of sentences a batch."""
    shares = {}
    for at_once in (32, 64, 96):
        if at_once <= len(pairs):
            shares[f"random {at_once}"] = work.padding(work.random_order(pairs, at_once))
            shares[f"like length {at_once}"] = work.padding(work.like_length(pairs, at_once, SEED))
    return shares


def memory_of(config: TransformerConfig, names: Sequence[str], batches: Batches) -> dict[str, int]:
    """The peak bytes of each contender on the largest batch, each in a fresh process."""
    largest = max(batches, key=lambda batch: sum(work.padded(batch)))
    return {
        name: in_fresh_process(peak_memory, name, config, largest, MEMORY_STEPS) for name in names
    }


def summary(
    kind: tuple[str, str],
    config: TransformerConfig,
    batches: Batches,
    rows: Sequence[Entry],
    memory: Mapping[str, int],
) -> list[dict[str, Any]]:
    """A row of the table for each contender under each precision."""
    flops = sum(work.model_flops(config, batch) for batch in batches)
    real = sum(sum(work.tokens(batch)) for batch in batches)
    reference, lines = rows[0], []
    for row in rows:
        seconds, ratio = sum(row.seconds), ratios(row, reference)
        line = {
            "size": kind[0],
            "batches": kind[1],
            "contender": row.contender.name,
            "precision": row.precision,
            "ms/step": 1000 * seconds / len(batches),
            "tokens/s": real / seconds,
            "ratio": ratio["total"],
            "median": ratio["median"],
            "least": ratio["least"],
            "most": ratio["most"],
            "GFLOP/s": flops / seconds / 1e9,
        }
        own = row.precision == row.contender.precision  # memory was measured in this one
        if own and memory:
            line["peak MiB"] = memory[row.contender.name] / 2**20
            line["ours/its"] = memory[reference.contender.name] / memory[row.contender.name]
        lines.append(line)
    return lines


def steps(kind: tuple[str, str], batches: Batches, rows: Sequence[Entry]) -> list[dict[str, Any]]:
    """Each measured batch: its tokens, its padded positions, the seconds of each contender."""
    return [
        {
            "size": kind[0],
            "batches": kind[1],
            "sentences": len(batch),
            "tokens": sum(work.tokens(batch)),
            "padded": sum(work.padded(batch)),
            "seconds": {row.label: row.seconds[index] for row in rows},
        }
        for index, batch in enumerate(batches)
    ]


def reached(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was aimed at, and what was measured, against torch.nn.Transformer as it comes."""
    found = []
    for what, size, workload, aim in REACH:
        for line in lines:
            label = f"{line['contender']}, {line['precision']}"
            fits = line["size"].startswith(size) and line["batches"] == workload
            if not fits or label != AGAINST or (what == "memory" and "ours/its" not in line):
                continue
            got = line["ratio"] if what == "time" else line["ours/its"]
            there = got >= aim if what == "time" else got <= aim
            found.append(
                {"what": what, "size": line["size"], "batches": workload, "aim": aim, "got": got}
                | {"reached": "yes" if there else "no"}
            )
    return found


def show(scores: Mapping[str, Any], padding: Mapping[str, float]) -> None:
    """The tables, on standard output."""
    title = "A training step; ratio: seconds of the row / seconds of annotated, as it comes"
    shown = [
        {key: value for key, value in line.items() if key not in ("least", "most")}
        for line in scores["table"]
    ]
    print(report.table(title, shown) + "\n")
    lines = [{"size": size, **counts} for size, counts in scores["parameters"].items()]
    print(report.table("Parameters", lines) + "\n")
    peaks = scores["product_flops_per_second"]
    print("Large matrix product, GFLOP/s: " + said(peaks, 1e9))
    if padding:
        print("Share of padding: " + said(padding))
    print(f"Threads: {torch.get_num_threads()}\n")
    if scores["reach"]:
        print(report.table(f"Reach, against {AGAINST}", scores["reach"]))


def said(values: Mapping[str, float], unit: float = 1.0) -> str:
    """Names and numbers in a line."""
    return ", ".join(f"{name} {report.shown(value / unit)}" for name, value in values.items())
