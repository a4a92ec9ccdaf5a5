"""Decoding beside Hugging Face's Marian and CTranslate2: milliseconds for each token written."""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import torch

from annotated.fast.inference import WIDER
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.results import commit, software
from tools.bench import report, work
from tools.bench.decoders import LIBRARIES, Decode, builders, chosen_products, missing
from tools.bench.measure import precision

SEED = 1
REST = 0.3  # seconds before each turn: the threads of the one before may wait awake for 0.2
WARM = 0.5  # seconds of each turn before it counts: a core that has rested is slow for a while
COUNTED = 1.0  # seconds of each turn after that: a core's speed comes and goes within tenths
SIZES = ["small", "base-37k"]
AGAINST = "Marian"  # as it comes, or with the products that this package chooses: the faster


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    rounds: int = 5  # each writes the same translations again
    length: int = 32  # tokens of each translation
    beams: tuple[int, ...] = (1, 4)  # 1: greedy
    sentences: tuple[int, ...] = (1, 16)  # at once
    rest: float = REST
    warm: float = WARM
    counted: float = COUNTED


QUICK = Amount(rounds=2, length=4, sentences=(1, 3), rest=0.0, warm=0.0, counted=0.0)


built: dict[str, Decode] = {}  # the contender of this process


def begin(name: str, config: TransformerConfig, threads: int) -> None:
    """Build a contender, with the weights that the seed draws for this package's model."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    built[name] = builders()[name](Transformer(config).eval(), threads)


def take(
    name: str,
    setting: str,
    sources: Sequence[list[int]],
    beam: int,
    length: int,
    warm: float,
    counted: float,
) -> float:
    """The median seconds of translations in `counted` seconds, after `warm` seconds of them.

    At least one is counted, after at least one to get warm. Raises ValueError for tokens too many
    or too few.
    """

    def once() -> list[list[int]]:
        return built[name](sources, beam, length)

    with precision(setting):
        again(once, warm)
        seconds = again(once, counted)
        written = once()
    if [len(ids) for ids in written] != [length] * len(sources):
        found = sorted({len(ids) for ids in written})
        raise ValueError(f"{name} wrote {found} tokens, not {length} a sentence")
    return statistics.median(seconds)


def again(call: Callable[[], Any], seconds: float) -> list[float]:
    """The seconds of each of the calls that begin within so many seconds, at least one."""
    start = began = time.perf_counter()
    each: list[float] = []
    while not each or began - start < seconds:
        call()
        ended = time.perf_counter()
        each.append(ended - began)
        began = ended
    return each


class Process:
    """A contender in a process of its own: in one, their threads would be in each other's way."""

    def __init__(self, name: str, config: TransformerConfig):
        self.name = name
        self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self.pool.submit(begin, name, config, torch.get_num_threads()).result()

    def take(self, *what: Any) -> float:
        """`take` over there."""
        return self.pool.submit(take, self.name, *what).result()


@dataclass
class Row:
    """A contender in one cell of the table, and its seconds in each round."""

    name: str
    take: Callable[..., float]  # setting, sources, beam, length, warm, counted
    setting: str = "highest"  # of torch.set_float32_matmul_precision: PyTorch's default
    seconds: list[float] = field(default_factory=list)


def rows_of(contenders: Sequence[Process], chosen: str) -> list[Row]:
    """Each contender as its user meets it; Marian once more with the products that are chosen."""
    rows = []
    for each in contenders:
        ours = each.name.startswith("annotated")  # which chooses its products
        rows.append(Row(each.name, each.take, chosen if ours else "highest"))
        if each.name == AGAINST:
            rows.append(Row(f"{AGAINST}, chosen products", each.take, chosen))
    return rows


def add_options(command: argparse.ArgumentParser) -> None:
    """What can be set."""
    command.add_argument("--sizes", nargs="+", choices=list(work.SIZES), default=SIZES)
    command.add_argument("--rounds", type=int, default=Amount.rounds, help="of which the median")
    command.add_argument("--length", type=int, default=Amount.length, help="tokens to write")


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench decode"""
    began, at_commit = time.perf_counter(), commit()
    sizes = {"tiny": work.TINY} if options.quick else {x: work.SIZES[x] for x in options.sizes}
    amount = QUICK if options.quick else Amount(options.rounds, options.length)
    for name in missing():
        report.say(f"{name} is not installed, so {LIBRARIES[name]} is left out: run `make bench`")
    lines, curve = [], []
    for size, config in sizes.items():
        contenders = [Process(name, config) for name in builders()]
        for sentences, beam in cells(amount):
            kind = {"size": size, "search": search(beam), "sentences": sentences}
            report.say(", ".join(map(str, kind.values())))
            chosen = chosen_products(sentences * beam, WIDER * config.d_model)
            rows = rows_of(contenders, chosen)
            race(rows, sources(config, sentences), beam, amount)
            lines.append(kind | {"products": chosen} | summary(rows, sentences * amount.length))
            curve += [kind | turn for turn in turns(rows)]
        for each in contenders:  # before those of the next size are built
            each.pool.shutdown()
    show(lines)
    if options.record:
        most = work.sentences(max(amount.sentences), config.vocab_size, SEED)
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            software=software() | versions(),
            data=work.fingerprint(most, SEED) | {"one": f"a source of {work.MEAN} tokens"},
            config={
                "sizes": {size: asdict(config) for size, config in sizes.items()},
                **asdict(amount),
                "times": f"milliseconds of {AGAINST}, the faster of the two, / those of the row",
            },
            seconds=time.perf_counter() - began,
            curve=curve,
            scores={"table": lines},
        )


def cells(amount: Amount) -> Iterator[tuple[int, int]]:
    """How many sentences at once, and the size of the beam."""
    return ((sentences, beam) for beam in amount.beams for sentences in amount.sentences)


def search(beam: int) -> str:
    """The name of the search with a beam of this size."""
    return "greedy" if beam == 1 else f"beam {beam}"


def sources(config: TransformerConfig, count: int) -> list[list[int]]:
    """So many ragged sources of random tokens; one alone has the mean length."""
    return [source for source, _ in work.sentences(count, config.vocab_size, SEED)]


def race(rows: Sequence[Row], sources: Sequence[list[int]], beam: int, amount: Amount) -> None:
    """Each contender in turn translates the sources, A B C A B C; fills in the rows' seconds."""
    for _ in range(amount.rounds):
        for row in rows:
            time.sleep(amount.rest)
            what = row.setting, sources, beam, amount.length, amount.warm, amount.counted
            row.seconds.append(row.take(*what))


def summary(rows: Sequence[Row], tokens: int) -> dict[str, dict[str, float]]:
    """Of each contender the milliseconds a token, by its median round, and the speed.

    The speed is in times that of Marian, with whichever products that is faster;
    there is none where Marian is not installed.
    """
    each = {row.name: 1000 * statistics.median(row.seconds) / tokens for row in rows}
    against = [value for name, value in each.items() if name.startswith(AGAINST)]
    times = {name: min(against) / value for name, value in each.items()} if against else {}
    return {"ms/token": each, "times Marian": times}


def turns(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The seconds of every contender, round by round."""
    count = len(rows[0].seconds)
    return [{"seconds": {row.name: row.seconds[i] for row in rows}} for i in range(count)]


def versions() -> dict[str, str]:
    """Of the libraries that are compared with."""
    lacking = missing()
    return {name: metadata.version(name) for name in LIBRARIES if name not in lacking}


def show(lines: Sequence[Mapping[str, Any]]) -> None:
    """The two tables, on standard output."""
    titles = {
        "ms/token": "Milliseconds a token written, of the median round",
        "times Marian": f"Times as fast as {AGAINST}, the faster of the two",
    }
    for key, title in titles.items():
        kinds = ("size", "search", "sentences")
        rows = [{kind: line[kind] for kind in kinds} | line[key] for line in lines if line[key]]
        if rows:
            print(report.table(title, rows) + "\n")
