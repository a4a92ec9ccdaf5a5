"""Measuring: contenders in turn on the same batches, peak memory, the machine's fastest product."""

import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from annotated.data.batching import Encoded
from annotated.model.transformer import TransformerConfig
from tools.bench.contenders import CONTENDERS, Contender
from tools.bench.work import TINY, sentences

Result = TypeVar("Result")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """float32 products in this precision, and afterwards as they were before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def build(name: str, config: TransformerConfig, seed: int = 1) -> Contender:
    """A contender, from the same seed each, with the precision that it chooses for itself."""
    torch.manual_seed(seed)
    with precision("highest"):
        contender = CONTENDERS[name](config)
        contender.precision = torch.get_float32_matmul_precision()
    return contender


def timed(function: Callable[[], Any]) -> float:
    """The seconds that a call takes, to the end of what it set going on a GPU."""
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


@dataclass
class Entry:
    """A contender under one precision: a row of the table, and its seconds for each batch."""

    contender: Contender
    precision: str
    seconds: list[float]

    @property
    def label(self) -> str:
        """What the records call it."""
        return f"{self.contender.name}, {self.precision}"

    def take(self, batch: Any) -> float:
        """One step; returns its seconds."""
        with precision(self.precision):
            return timed(lambda: self.contender.step(batch))


def entries(contenders: Sequence[Contender]) -> list[Entry]:
    """Each contender in its own precision, then in those that the others choose.

    The first is the one that the others are compared with: this package as a user gets it.
    """
    own = [Entry(contender, contender.precision, []) for contender in contenders]
    chosen = sorted({contender.precision for contender in contenders})
    more = [
        Entry(contender, other, [])
        for other in chosen
        for contender in contenders
        if other != contender.precision
    ]
    return own + more


def race(rows: list[Entry], batches: Sequence[Sequence[Encoded]], warm: int) -> list[Entry]:
    """Each row's contender in turn on each batch, A B C A B C; returns the rows, with its seconds.

    Before that every one takes `warm` steps: the first on the largest batch, so that memory is
    fetched before the clock runs.
    """
    first = max(batches, key=lambda batch: len(batch) * max(map(longer, batch)))
    for batch in [first, *batches][:warm]:
        for row in rows:
            row.take(row.contender.prepare(batch))
    for batch in batches:
        for row in rows:
            row.seconds.append(row.take(row.contender.prepare(batch)))
    return rows


def longer(pair: Encoded) -> int:
    """The length of a pair's longer side."""
    return max(len(pair[0]), len(pair[1]))


def ratios(row: Entry, reference: Entry) -> dict[str, float]:
    """How many times as long a contender takes: in total, and the median over the batches."""
    each = [a / b for a, b in zip(row.seconds, reference.seconds, strict=True)]
    return {
        "total": sum(row.seconds) / sum(reference.seconds),
        "median": statistics.median(each),
        "least": min(each),
        "most": max(each),
    }


def product_flops(
    name: str, size: int, dtype: torch.dtype = torch.float32, device: str = "cpu", repeats: int = 5
) -> float:
    """FLOP/s of a large square matrix product in this precision, the best of some."""
    a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    with precision(name):
        timed(lambda: a @ b)
        return 2 * size**3 / min(timed(lambda: a @ b) for _ in range(repeats))


def in_fresh_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of this folder in a new Python, with as many threads as we have here."""
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        return pool.submit(function, *arguments).result()


def resident(peak: bool = False) -> int:
    """The bytes of memory that this process holds, or held at most.

    From /proc where there is one: on Linux, getrusage gives a new process the peak of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM" if peak else "VmRSS"].split()[0]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak_memory(name: str, config: TransformerConfig, batch: Sequence[Encoded], steps: int) -> int:
    """The bytes that a contender takes at most over some steps, its weights and Adam included.

    To be called in a fresh process. A tiny model goes first, so that the libraries are loaded.
    """
    tiny = build(name, TINY)
    tiny.step(tiny.prepare(sentences(2, TINY.vocab_size, seed=0)))
    del tiny
    gc.collect()
    before = resident()
    contender = build(name, config)
    prepared = contender.prepare(batch)
    with precision(contender.precision):
        for _ in range(steps):
            contender.step(prepared)
    return resident(peak=True) - before
