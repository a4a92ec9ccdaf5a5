"""The proof of scale: millions of generated pairs prepared and iterated, with memory and seconds.

python tools/scale.py                     5,000,000 pairs, into results/scale-5-million-pairs.json
python tools/scale.py --pairs 100000 --out small.json

Each part runs in a process of its own, since the peak of memory is known for a process only:
a vocabulary is learned from a sample, the pairs are prepared (killed half-way, and taken up again),
an epoch of batches is read, and an epoch of 36,000,000 pairs of random sizes is planned.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

CONFIG = {
    "seed": 1,
    "words": 200_000,  # different words in each language, drawn with Zipf's law
    "mean_words": 22,  # in a source sentence
    "vocab_size": 37_000,  # the paper's, English-German
    "sample": 200_000,  # pairs that the vocabulary is learned from
    "max_tokens": 256,
    "batch_tokens": 25_000,
    "planned": 36_000_000,  # the paper's pairs, English-French
}
BLOCK = 10_000  # pairs that are drawn together


class Generated:
    """A stream of pairs of invented sentences, the same whenever it is gone through."""

    def __init__(self, count: int):
        self.count = count
        self.languages = [lexicon(CONFIG["seed"] + side) for side in (0, 1)]
        self.shares = np.cumsum(1 / (np.arange(CONFIG["words"]) + 2.7))
        self.shares /= self.shares[-1]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return islice(self.all(), self.count)

    def all(self) -> Iterator[tuple[str, str]]:
        """Pairs without end."""
        for block in range(sys.maxsize):
            draw = np.random.default_rng([CONFIG["seed"], block])
            source = draw.gamma(2.5, CONFIG["mean_words"] / 2.5, BLOCK)
            target = source * draw.lognormal(0, 0.2, BLOCK)
            sides = [
                self.sentences(words, np.maximum(lengths, 1).astype(int), draw)
                for words, lengths in zip(self.languages, (source, target), strict=True)
            ]
            yield from zip(*sides, strict=True)

    def sentences(
        self, words: list[str], lengths: np.ndarray, draw: np.random.Generator
    ) -> Iterator[str]:
        """A sentence of each length; frequent words are short, as they are everywhere."""
        ranks = np.searchsorted(self.shares, draw.random(lengths.sum())).tolist()
        start = 0
        for length in lengths.tolist():
            yield " ".join([words[rank] for rank in ranks[start : start + length]]) + "."
            start += length


def lexicon(seed: int) -> list[str]:
    """Different invented words, the shorter ones first."""
    draw = np.random.default_rng(seed)
    syllables = [a + b + c for a in "bdfgklmnprstvw" for b in "aeiou" for c in ["", *"nrst"]]
    found: set[str] = set()
    while len(found) < CONFIG["words"]:
        parts = draw.integers(len(syllables), size=(50_000, 4)).tolist()
        sizes = draw.integers(1, 5, 50_000).tolist()
        found.update(
            "".join(syllables[i] for i in some[:size])
            for some, size in zip(parts, sizes, strict=True)
        )
    return sorted(sorted(found)[: CONFIG["words"]], key=len)


def taken() -> dict[str, float]:
    """What this process has taken so far: seconds of a core, and the peak of resident memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "core_seconds": round(used.ru_utime + used.ru_stime, 2),
        "megabytes": round(used.ru_maxrss * 1024 / 1e6, 1),
    }


def learn(pairs: int, folder: Path) -> dict[str, Any]:
    """A vocabulary from a sample of the pairs."""
    from annotated.data.memory_mapped import sample
    from annotated.data.tokenizer import Tokenizer

    chosen = sample(Generated(pairs), CONFIG["sample"], CONFIG["seed"])
    tokenizer = Tokenizer.train((line for pair in chosen for line in pair), CONFIG["vocab_size"])
    tokenizer.save(folder / "tokenizer.json")
    return {"vocab_size": len(tokenizer)}


def fill(pairs: int, folder: Path) -> dict[str, Any]:
    """The pairs prepared, or what is left of them; fifty rows of the curve."""
    from annotated.data.memory_mapped import prepare, read_state
    from annotated.data.tokenizer import Tokenizer

    state, start = read_state(folder / "prepared"), time.perf_counter()
    begun = state.read if state else 0
    print(json.dumps({"begun": begun}), flush=True)

    def watched() -> Iterator[tuple[str, str]]:
        for count, pair in enumerate(Generated(pairs)):
            if count % (pairs // 50) == 0:
                seconds = round(time.perf_counter() - start, 1)
                print(json.dumps({"pairs": count, "seconds": seconds, **taken()}), flush=True)
            yield pair

    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    data = prepare(watched(), tokenizer, folder / "prepared", CONFIG["max_tokens"], total=pairs)
    return {
        "kept": len(data),
        "left_out": data.state.left_out,
        "tokens": data.state.tokens,
        "sha256": data.state.text,
        "file_megabytes": sum(data.state.lengths().values()) / 1e6,
    }


def iterate(pairs: int, folder: Path) -> dict[str, Any]:
    """Every batch of an epoch; each pair must have come."""
    from annotated.data.batching import batches
    from annotated.data.memory_mapped import Prepared
    from annotated.data.tokenizer import EOS

    start = time.perf_counter()
    data = Prepared(folder / "prepared")
    opened, rows, count, tokens = time.perf_counter() - start, 0, 0, 0
    for batch in batches(data, CONFIG["batch_tokens"], seed=CONFIG["seed"]):
        if count == 0:
            first = time.perf_counter() - start
        count, rows = count + 1, rows + len(batch.source)
        tokens += int((batch.source != 0).sum() + (batch.target_out != 0).sum())
        assert (batch.source == EOS).any(1).all()
    assert rows == len(data) and tokens == data.state.tokens + 2 * rows
    return {"batches": count, "open_seconds": opened, "first_batch_seconds": first}


class Sizes:
    """Pairs of which nothing is known but their sizes."""

    def __init__(self, count: int):
        draw = np.random.default_rng(CONFIG["seed"])
        self.sizes = np.empty((count, 2), np.int32)
        for i in range(0, count, 1_000_000):
            part = self.sizes[i : i + 1_000_000]
            part[:] = np.clip(draw.gamma(2.5, 27 / 2.5, part.shape), 1, 255)

    def __len__(self) -> int:
        return len(self.sizes)


def lay_out(pairs: int, folder: Path) -> dict[str, Any]:
    """The plan of an epoch of 36 million pairs: batches, and what it took beside the sizes."""
    from annotated.data.batching import plan

    data = Sizes(CONFIG["planned"])
    before, start = taken(), time.perf_counter()
    groups = plan(data, CONFIG["batch_tokens"], CONFIG["seed"])  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    megabytes = before["megabytes"]  # PyTorch and the sizes
    assert sum(len(group) for group in groups) == CONFIG["planned"]
    return {"batches": len(groups), "before_megabytes": megabytes, "plan_seconds": seconds}


PARTS = {"learn": learn, "fill": fill, "iterate": iterate, "plan": lay_out}


def run(part: str, pairs: int, folder: Path, stop_at: int | None = None) -> list[dict[str, Any]]:
    """A part in a process of its own: the rows that it prints. It is killed at pair `stop_at`.

    The rows are kept in the folder, and a part whose rows are there is not run again.
    """
    kept = folder / f"{part}{'-killed' if stop_at else ''}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    command = [sys.executable, __file__, "--part", part, "--pairs", str(pairs)]
    command += ["--folder", str(folder)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            rows.append(json.loads(line))
            if stop_at and rows[-1].get("pairs", 0) >= stop_at:
                child.kill()
    if child.returncode and not stop_at:
        sys.exit(f"{part} ended with {child.returncode}")
    print(part, rows[-1], file=sys.stderr)
    kept.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def proof(pairs: int, folder: Path) -> dict[str, Any]:
    """All parts in order, and what they gave, as the record has it."""
    learned = run("learn", pairs, folder)[-1]
    begun = run("fill", pairs, folder, stop_at=pairs // 2)[1:]
    resumed, *rest = run("fill", pairs, folder)
    filled = rest.pop()
    read, planned = run("iterate", pairs, folder)[-1], run("plan", pairs, folder)[-1]
    caught_up = next(row["core_seconds"] for row in rest if row["pairs"] >= resumed["begun"])
    curve = [{"process": 1, **row} for row in begun] + [{"process": 2, **row} for row in rest]
    return {
        "data": {"name": "generated", "pairs": pairs, "sha256": filled.pop("sha256")},
        "seconds": sum(row["seconds"] for row in (learned, begun[-1], filled, read, planned)),
        "curve": curve,
        "scores": {
            "vocabulary": learned,
            "prepare": {
                **filled,
                "killed_at": begun[-1]["pairs"],
                "resumed_at": resumed["begun"],
                "catch_up_core_seconds": caught_up,
            },
            "iterate": {**read, "pairs_per_core_second": filled["kept"] / read["core_seconds"]},
            "plan": {**planned, "pairs": CONFIG["planned"]},
        },
    }


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    top.add_argument("--pairs", type=int, default=5_000_000)
    top.add_argument("--out", type=Path, default=ROOT / "results" / "scale-5-million-pairs.json")
    top.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    top.add_argument("--folder", type=Path, help="keep what is done there, and go on from it")
    return top


def main() -> None:
    options = parser().parse_args()
    if options.part:
        start = time.perf_counter()
        result = PARTS[options.part](options.pairs, options.folder)
        seconds = time.perf_counter() - start
        print(json.dumps({**result, "seconds": seconds, **taken()}))
        return
    from annotated import results

    at_commit = results.commit()
    os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}  # one core for each part
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        found = proof(options.pairs, folder)
    words = ["python", "tools/scale.py", "--pairs", str(options.pairs)]
    hardware = results.hardware().rsplit(",", 1)[0] + ", one thread"
    results.save(options.out, words, commit=at_commit, hardware=hardware, config=CONFIG, **found)


if __name__ == "__main__":
    main()
