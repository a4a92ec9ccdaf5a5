"""The Transformer beside what it replaced: one recipe, one number of parameters.

A recurrent encoder-decoder with additive attention and one that sees the encoder's last state only
are trained beside the Transformer on the toy language: vocabulary, batches, label smoothing,
dropout, averaging and the form of the schedule are the same, and each has the best peak rate of the
same small search. Then: loss against steps and seconds, BLEU, agreement by distance; what a step
costs against the length of its sentences; how far a gradient reaches. Seconds are of the processor,
on one thread. A part that is done is kept in a file and not done again.
"""

import argparse
import gc
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from annotated import models
from annotated.data import toy
from annotated.data.batching import Batch, batches, encode_pairs
from annotated.data.corpora import Corpus, corpus_hashes, load
from annotated.data.steps import stream
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.agreement import Contrast, contrasts, preferred
from annotated.evidence.reach import KINDS, Reader, gradient_norms
from annotated.evidence.recurrent_translator import RecurrentConfig
from annotated.files import make, write
from annotated.model.transformer import TransformerConfig
from annotated.models import size
from annotated.results import commit
from annotated.training.loop import Run, TrainingConfig, train, validation_loss
from annotated.training.optimizer import adam
from annotated.translation.scores import average, bleu
from annotated.translation.search import translate
from tools.bench import report
from tools.bench.measure import product_flops, timed


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    vocab_size: int = 2000
    layers: int = 2
    d_model: int = 128  # of the Transformer; the others get what makes them as large
    d_ff: int = 256
    heads: int = 4
    dropout: float = 0.1
    smoothing: float = 0.1
    batch_tokens: int = 768
    warmup: int = 100
    # learning rates, of which the best on the validation set is taken
    peaks: tuple[float, ...] = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
    search_steps: int = 400  # for each of them
    steps: int = 2000
    every: int = 100  # steps from one look at the validation set to the next
    average: int = 5  # of the checkpoints at these looks
    seeds: tuple[int, ...] = (1, 2, 3)
    sentences: int = 10**6  # of each test set
    contrasts: int = 200  # of a kind and a range of distances
    lengths: tuple[int, ...] = (8, 16, 32, 64, 128)
    tokens: int = 2048  # in a batch whose sentences have one length
    repeats: int = 5
    product: int = 1024  # rows of the product that shows the machine's peak
    window: int = 128  # tokens of a text that is read twice
    reader_steps: int = 800
    reader_batch: int = 8


QUICK = Sizes(
    vocab_size=400,
    layers=1,
    d_model=16,
    d_ff=32,
    heads=2,
    batch_tokens=200,
    warmup=5,
    peaks=(0.002, 0.004),
    search_steps=2,
    steps=4,
    every=2,
    average=2,
    seeds=(1, 2),
    sentences=3,
    contrasts=4,
    lengths=(4, 8),
    tokens=32,
    repeats=2,
    product=64,
    window=16,
    reader_steps=2,
    reader_batch=2,
)
RANGES = ((1, 1), (2, 2), (3, 4), (5, 6), (7, 9), (10, 99))  # of distances, in words
LONG = (17, 25)  # English words, where training stops at 16
PARTS = ("training", "speed", "gradients")


def add_options(command: argparse.ArgumentParser) -> None:
    """What to do of it, and where."""
    folder = Path("runs/bench-recurrent")
    command.add_argument(
        "--work", type=Path, default=folder, help=f"where parts are kept (default: {folder})"
    )
    command.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    command.add_argument("--device", default="cpu", help="of the part about speed: cpu or cuda")
    command.add_argument("--tokens", type=int, help="in a batch of the part about speed")
    command.add_argument("--lengths", type=int, nargs="+", help="of its sentences")
    command.add_argument("--d-model", type=int, help="of the Transformer of that part")


class Kept:
    """Parts that were done, each in a file; those of other sizes are not looked at."""

    def __init__(self, folder: Path, sizes: Sizes):
        self.folder, self.sizes = folder, json.loads(json.dumps(asdict(sizes)))

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """What the work returns, or returned the last time."""
        path = self.folder / f"{name.replace(' ', '-').replace(',', '')}.json"
        if path.exists():
            kept = json.loads(path.read_text("utf-8"))
            if kept["sizes"] == self.sizes:
                return kept["found"]
        began = time.perf_counter()
        found = report.rounded(work())
        make(self.folder)
        write(path, json.dumps({"sizes": self.sizes, "found": found}))
        report.say(f"{name}: {time.perf_counter() - began:.0f} s")
        return json.loads(json.dumps(found))


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench recurrent"""
    began, at_commit = time.perf_counter(), commit()
    sizes = QUICK if options.quick else Sizes()
    given = {"tokens": options.tokens, "lengths": options.lengths}
    kept = Kept(options.work, sizes)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = torch.get_float32_matmul_precision()
    try:
        scores: dict[str, Any] = {}
        curve: list[dict[str, Any]] = []
        corpus = load("toy")
        tokenizer = vocabulary(corpus, sizes)
        configs = contenders(len(tokenizer), sizes)
        if "training" in options.parts:
            curve, scores = trained(corpus, tokenizer, configs, sizes, kept)
        if "speed" in options.parts:
            timing = replace(sizes, **{name: x for name, x in given.items() if x})
            wide = replace(timing, d_model=options.d_model or sizes.d_model)
            if options.d_model:
                wide = replace(wide, d_ff=4 * wide.d_model, heads=max(1, wide.d_model // 64))
            racing = contenders(len(tokenizer), wide) if options.d_model else configs
            name = f"speed {options.device} {wide.d_model}"
            work = partial(speeds, racing, wide, options.device)
            scores["speed"] = Kept(options.work, wide).part(name, work)
        if "gradients" in options.parts:
            scores["gradients"] = [
                kept.part(f"gradients {kind}", partial(reached, kind, sizes, tokenizer))
                for kind in KINDS
            ]
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(before)
    show(scores)
    if options.record:
        named = {
            name: models.described(config) | {"parameters": size(config)}
            for name, config in configs.items()
        }
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=corpus_hashes(corpus),
            config={"models": named, **asdict(sizes), "threads": 1},
            seconds=time.perf_counter() - began,
            curve=curve or scores.get("speed", {}).get("rows") or scores.get("gradients"),
            scores=scores,
        )


def show(scores: dict[str, Any]) -> None:
    """The tables for the reader."""
    if "BLEU" in scores:
        print(report.table("BLEU, of each seed", scores["BLEU"]) + "\n")
        print(report.table("agreement", scores["agreement"]) + "\n")
    if "speed" in scores:
        print(report.table("a step of training", scores["speed"]["rows"]) + "\n")
    for each in scores.get("gradients", []):
        norms = zip(each["k"], each["at the start"], each["after training"], strict=True)
        rows = [{"k": k, "at the start": a, "after training": b} for k, a, b in norms]
        print(report.table(f"gradients: {each['kind']}", rows) + "\n")


# The contenders


def vocabulary(corpus: Corpus, sizes: Sizes) -> Tokenizer:
    """The one that all share."""
    lines = (line for pair in corpus.splits["train"] for line in pair)
    return Tokenizer.train(lines, sizes.vocab_size)


def contenders(vocab_size: int, sizes: Sizes) -> dict[str, Any]:
    """Three configurations with the same number of parameters, as nearly as an even width can."""
    one = TransformerConfig(
        vocab_size,
        sizes.layers,
        sizes.d_model,
        sizes.d_ff,
        sizes.heads,
        dropout=sizes.dropout,
        norm_first=True,
    )
    other = RecurrentConfig(vocab_size, sizes.layers, sizes.d_model, sizes.dropout)
    return {
        "Transformer": one,
        "recurrent, attention": fitted(other, size(one)),
        "recurrent, last state": fitted(replace(other, attention=False), size(one)),
    }


def fitted(config: Any, parameters: int) -> Any:
    """The configuration with the even width that comes nearest to so many parameters."""
    widths = range(2, 2 * config.d_model + 2, 2)
    low = next((w for w in widths if size(replace(config, d_model=w)) > parameters), widths[-1])
    both = [replace(config, d_model=max(2, width)) for width in (low - 2, low)]
    return min(both, key=lambda each: abs(size(each) - parameters))


# Training


def trained(
    corpus: Corpus, tokenizer: Tokenizer, configs: dict[str, Any], sizes: Sizes, kept: Kept
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of all curves; and the scores: the search for rates, BLEU, agreement."""
    encoded = {
        name: encode_pairs(list(corpus.splits[name]), tokenizer) for name in ("train", "validation")
    }
    rates: dict[str, Any] = {}
    for name, config in configs.items():
        losses = {
            str(peak): kept.part(
                f"rate {name} {peak}",
                partial(searched, config, encoded, sizes, peak),
            )
            for peak in sizes.peaks
        }
        best = min(losses, key=lambda peak: losses[peak])
        rates[name] = {"validation loss": losses, "best": float(best)}
    curve, scores, agreement = [], [], []
    tests = agreement_tests(corpus, sizes)
    for seed in sizes.seeds:
        for name, config in configs.items():
            peak = rates[name]["best"]
            work = partial(whole, config, encoded, tokenizer, corpus, tests, sizes, peak, seed)
            found = kept.part(f"training {name} {seed}", work)
            who = {"model": name, "seed": seed}
            curve += [who | row for row in found["rows"]]
            scores.append(who | found["BLEU"])
            agreement += [who | row for row in found["agreement"]]
    return curve, {"rates": rates, "BLEU": scores, "agreement": agreement}


def whole(
    config: Any,
    encoded: dict[str, Any],
    tokenizer: Tokenizer,
    corpus: Corpus,
    tests: list[Contrast],
    sizes: Sizes,
    peak: float,
    seed: int,
) -> dict[str, Any]:
    """One training with all that is asked of its model."""
    model, rows = fit(config, encoded, sizes, peak, seed)
    bleus = scored(model, tokenizer, corpus, sizes)
    return {"rows": rows, "BLEU": bleus, "agreement": judged(model, tokenizer, tests)}


def searched(config: Any, encoded: dict[str, Any], sizes: Sizes, peak: float) -> float:
    """The loss on the validation set after a few steps at this peak rate."""
    _, rows = fit(config, encoded, replace(sizes, steps=sizes.search_steps), peak, 1)
    return rows[-2]["validation_loss"]  # the last is of averaged weights


def fit(
    config: Any,
    encoded: dict[str, Any],
    sizes: Sizes,
    peak: float,
    seed: int,
    build: Callable[[Any], Any] = models.build,
) -> tuple[Any, list[dict[str, Any]]]:
    """A model with the mean of its last checkpoints' weights, and the log of its training.

    `peak` is the largest learning rate, at the end of the warm-up.
    """
    torch.manual_seed(seed)
    model = build(config)
    scale = peak * (config.d_model * sizes.warmup) ** 0.5
    training = TrainingConfig(
        sizes.batch_tokens,
        steps=sizes.steps,
        warmup=sizes.warmup,
        scale=scale,
        smoothing=sizes.smoothing,
        seed=seed,
        log_every=sizes.every,
        validate_every=sizes.every,
    )
    held_out = list(batches(encoded["validation"], 4096))
    states: list[dict[str, torch.Tensor]] = []
    paused = 0.0
    began = time.process_time()

    def look(model: Any) -> dict[str, float]:
        nonlocal paused
        now = time.process_time()
        seconds = now - began - paused
        states.append({name: x.clone() for name, x in model.state_dict().items()})
        del states[: -sizes.average]
        loss = validation_loss(model, held_out)
        paused += time.process_time() - now
        return {"processor_seconds": seconds, "validation_loss": loss}

    log = train(Run(model, training), stream(encoded["train"], sizes.batch_tokens, seed), look)
    model.load_state_dict(average(states))
    model.eval()
    wanted = ("step", "processor_seconds", "loss", "validation_loss")
    rows = [{name: row[name] for name in wanted} for row in log]
    last = {"step": log[-1]["step"], "averaged": len(states)}
    return model, [*rows, last | {"validation_loss": validation_loss(model, held_out)}]


def scored(model: Any, tokenizer: Tokenizer, corpus: Corpus, sizes: Sizes) -> dict[str, Any]:
    """BLEU on each test set, by the paper's search, and the share of sentences that are right."""
    found: dict[str, Any] = {}
    for name in ("test", "test_unseen", "test_longer"):
        sources, targets = zip(*list(corpus.splits[name])[: sizes.sentences], strict=True)
        outputs = translate(model, tokenizer, sources)
        found[name] = bleu(outputs, targets).value
        found[f"{name}, exact"] = statistics.mean(
            one == other for one, other in zip(outputs, targets, strict=True)
        )
    return found


def agreement_tests(corpus: Corpus, sizes: Sizes) -> list[Contrast]:
    """Contrasts of sentences that training has not seen, some for each kind and distance."""
    seen = {source for source, _ in corpus.splits["train"]}
    words = {word for pair in toy.splits()["train"] for word in pair.source + pair.target}
    found: dict[Any, list[Contrast]] = defaultdict(list)
    for rich in (1, 4):
        for clause in islice(toy.clauses(100 + rich, rich), 100 * sizes.contrasts):
            pair = toy.spell(clause)
            known = all(word in words for word in pair.source + pair.target)
            if known and pair.length <= LONG[1] and pair.english not in seen:
                for each in contrasts(clause):
                    found[each.kind, within(each), is_long(each)].append(each)
    return [each for several in found.values() for each in several[: sizes.contrasts]]


def within(test: Contrast) -> str:
    """The range that its distance lies in."""
    low, high = next(each for each in RANGES if each[0] <= test.distance <= each[1])
    return f"{low}" if low == high else f"{low} and more" if high == 99 else f"{low} to {high}"


def is_long(test: Contrast) -> bool:
    """Whether the sentence is longer than any that training has."""
    return len(test.source.rstrip(".").replace(",", "").split()) >= LONG[0]


def judged(model: Any, tokenizer: Tokenizer, tests: list[Contrast]) -> list[dict[str, Any]]:
    """How often the wrong translation is preferred, by kind, distance and length of sentence."""
    right = preferred(model, tokenizer, tests)
    groups: dict[Any, list[bool]] = defaultdict(list)
    for test, is_right in zip(tests, right, strict=True):
        groups[test.kind, within(test), "17 to 25" if is_long(test) else "to 16"].append(is_right)
    return [
        {"kind": kind, "distance": distance, "words": words, "tests": len(group)}
        | {"errors": group.count(False)}
        for (kind, distance, words), group in sorted(groups.items())
    ]


# Speed


def speeds(configs: dict[str, Any], sizes: Sizes, device: str) -> dict[str, Any]:
    """Tokens a second in training against length, and the share of the machine's peak."""
    seconds = timed if device == "cuda" else processor_seconds
    flops = product_flops("highest", sizes.product, device=device)
    rows = []
    for length in sizes.lengths:
        shape = max(1, sizes.tokens // length), length
        for name, config in configs.items():
            best, needed = a_step(config, shape, sizes, device, seconds)
            rows.append(
                {
                    "model": name,
                    "length": length,
                    "sentences": shape[0],
                    "ms": 1000 * best,
                    "tokens/s": shape[0] * length / best,
                    "GFLOP": needed / 1e9,
                    "GFLOP/s": needed / best / 1e9,
                    "share": needed / best / flops,
                }
            )
    return {"device": device, "peak GFLOP/s": flops / 1e9, "rows": rows}


def a_step(
    config: Any,
    shape: tuple[int, int],
    sizes: Sizes,
    device: str,
    seconds: Callable[[Callable[[], Any]], float],
) -> tuple[float, int]:
    """The least seconds that a step of training takes on a batch of this shape, and its FLOPs."""
    gc.collect()
    torch.manual_seed(1)
    ids = torch.randint(3, config.vocab_size, shape, device=device)
    learner = Run(models.build(config).to(device), TrainingConfig(warmup=100))
    step = partial(learner.update, Batch(ids, ids, ids))
    with FlopCounterMode(display=False) as counter:
        step()
    return min(seconds(step) for _ in range(sizes.repeats)), counter.get_total_flops()


def processor_seconds(work: Callable[[], Any]) -> float:
    """The seconds that a processor works on it: others' work disturbs that least."""
    began = time.process_time()
    work()
    return time.process_time() - began


# Gradients


def reached(kind: str, sizes: Sizes, tokenizer: Tokenizer) -> dict[str, Any]:
    """The gradient's norm k tokens before the loss, at the start and after training.

    The text is German that is read twice, so that the second time all of it can be known, from as
    many tokens ago as the window has.
    """
    torch.manual_seed(1)
    config = TransformerConfig(
        len(tokenizer), sizes.layers, sizes.d_model, sizes.d_ff, sizes.heads, dropout=0.0
    )
    reader = Reader(kind, replace(config, norm_first=True))
    text = windows(tokenizer, sizes)
    tests = torch.stack([next(text) for _ in range(4 * sizes.reader_batch)])
    furthest = min(200, 2 * sizes.window - 2)
    ks = sorted(
        {*range(min(10, furthest)), *range(10, furthest + 1, 5), furthest}
        | {sizes.window - 2, sizes.window - 1, sizes.window}
    )

    def norms() -> list[float]:
        each = gradient_norms(reader.double(), tests, furthest)  # (B, k)
        reader.float()
        return each.median(0).values[ks].tolist()

    before = norms()
    optimizer = adam(reader)
    losses = []
    for step in range(sizes.reader_steps):
        tokens = torch.stack([next(text) for _ in range(sizes.reader_batch)])
        optimizer.param_groups[0]["lr"] = 0.001 * min(1, (step + 1) / sizes.warmup)
        each = reader.losses(reader.embedding(tokens), tokens)  # (B, n - 1)
        optimizer.zero_grad()
        each.mean().backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        losses.append([part.mean().item() for part in each.detach().chunk(2, 1)])
    first, second = torch.tensor(losses[-20:]).mean(0).tolist()
    return {
        "kind": kind,
        "window": sizes.window,
        "k": ks,
        "at the start": before,
        "after training": norms(),
        "loss, first reading": first,
        "loss, second reading": second,
        "parameters": sum(weight.numel() for weight in reader.parameters()),
    }


def windows(tokenizer: Tokenizer, sizes: Sizes) -> Iterator[torch.Tensor]:
    """Texts of two windows, (n,): German sentences, and the same once more."""
    ids: list[int] = []
    for clause in toy.clauses(7):
        ids += tokenizer.encode(toy.spell(clause).german)
        if len(ids) >= sizes.window:
            yield torch.tensor(ids[: sizes.window]).repeat(2)
            ids = []
