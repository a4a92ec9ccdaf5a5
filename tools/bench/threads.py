"""Steps a second of a small model: threads that wait awake, briefly so, asleep, or one alone.

With the machine left alone and with one core taken by somebody else. OpenMP reads its settings when
it is loaded, so each contender is a process of its own; they take turns, and the median counts.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import cycle
from typing import IO, cast

from annotated.data.batching import collate
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.results import commit
from annotated.training.loop import Run, TrainingConfig
from tools.bench import report, work

SETTINGS = {  # name -> what OpenMP is told; 300,000 turns, some milliseconds, are its default
    "two threads, spinning": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "300000"},
    "two threads, spinning briefly": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000"},
    "two threads, sleeping": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
}
SIZES = {  # name -> the model, sentences in a batch: those of the toy language's training
    "toy": (TransformerConfig(400, layers=2, d_model=128, d_ff=256, heads=4), 28),
}
QUICK = {"tiny": (work.TINY, 4)}
SEED = 1
BATCHES = 8  # of like length, over and over
OPENMP = ("OMP_", "GOMP_", "KMP_")  # how the variables begin that it reads


def add_options(command: argparse.ArgumentParser) -> None:
    """How long to measure."""
    command.add_argument("--rounds", type=int, default=7, help="turns, of which the median counts")
    command.add_argument("--seconds", type=float, default=2.0, help="of a turn")


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench threads"""
    began, at_commit = time.perf_counter(), commit()
    others = {"load before": os.getloadavg()[0], "niceness": os.nice(0)}
    sizes = QUICK if options.quick else SIZES
    rounds, seconds = (1, 0.1) if options.quick else (options.rounds, options.seconds)
    rows = [row for size in sizes for row in raced(size, rounds, seconds)]
    print(report.table("steps a second", rows))
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data={"name": work.LENGTHS, "seed": SEED},
            config={
                "sizes": {
                    name: asdict(size) | {"sentences": n} for name, (size, n) in sizes.items()
                },
                "settings": SETTINGS,
                "rounds": rounds,
                "seconds": seconds,
            },
            seconds=time.perf_counter() - began,
            curve=rows,
            scores={"table": rows, "others": others},
        )


def raced(size: str, rounds: int, seconds: float) -> Iterator[dict[str, str | float]]:
    """A row for each setting: steps a second with both cores free, and with one of them taken."""
    taken: dict[str, dict[str, list[float]]] = {name: {"free": [], "busy": []} for name in SETTINGS}
    with ExitStack() as stack:
        rates = {name: stack.enter_context(worker(size, SETTINGS[name])) for name in SETTINGS}
        for turn in range(rounds):
            report.say(f"{size}: round {turn + 1} of {rounds}")
            for name, rate in rates.items():
                taken[name]["free"].append(rate(seconds))
                with neighbor():
                    taken[name]["busy"].append(rate(seconds))
    for name, states in taken.items():
        middle = {state: statistics.median(turns) for state, turns in states.items()}
        yield {"size": size, "setting": name, **middle}


Rate = Callable[[float], float]  # seconds to measure -> steps a second


@contextmanager
def worker(size: str, setting: dict[str, str]) -> Iterator[Rate]:
    """A process that trains a model under a setting of OpenMP, when it is asked for its rate."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OPENMP)} | setting
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.threads", size],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, cast(IO[str], process.stdin) as asked, cast(IO[str], process.stdout) as said:

        def rate(seconds: float) -> float:
            print(seconds, file=asked, flush=True)
            return float(said.readline())

        yield rate


@contextmanager
def neighbor() -> Iterator[None]:
    """Somebody else who takes one core."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def train(size: str) -> None:
    """What a worker does: for each number of seconds on its input, the steps a second."""
    config, sentences = (SIZES | QUICK)[size]
    pairs = work.sentences(BATCHES * sentences, config.vocab_size, SEED)
    batches = cycle([collate(group) for group in work.like_length(pairs, sentences, SEED)])
    training = Run(Transformer(config), TrainingConfig())
    training.update(next(batches))
    for line in sys.stdin:
        steps, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < float(line):
            training.update(next(batches))
            steps += 1
        print(steps / taken, flush=True)


if __name__ == "__main__":
    train(sys.argv[1])
