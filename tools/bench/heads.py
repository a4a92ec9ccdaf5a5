"""Which heads are needed, and what their weights explain: three Transformers of the toy language.

Each head is switched off, one at a time; then the heads of each attention in turn, always the one
that costs the least on the validation set. The same model is trained anew with fixed patterns in
all encoder heads but one, and with even weights in the whole encoder. And for each layer other
weights are looked for that leave the translations as they are. Differences to the whole model come
with the interval that holds 95 of 100 of them when the sentences are drawn anew. On one core this
takes some twenty minutes with models that are there, and as long again to train those; a part that
is done is kept in a file and not done again.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from annotated.data.batching import Batch, batches, collate, encode_pairs
from annotated.data.corpora import Corpus, corpus_hashes
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.agreement import Contrast, preferred
from annotated.evidence.altered import (
    Head,
    all_heads,
    attentions,
    other_weights,
    with_even,
    with_patterns,
    without,
)
from annotated.evidence.resampling import bleu_counts, bleu_of, paired_interval, share_of
from annotated.model.transformer import Transformer
from annotated.models import described
from annotated.results import commit
from annotated.training.loop import validation_loss
from annotated.translation.hypotheses import SearchConfig
from annotated.translation.search import translate
from tools.bench import recurrent, report
from tools.bench.recurrent import Kept, agreement_tests, is_long
from tools.bench.toy_models import prepared, trained

SETS = ("test", "test_unseen", "test_longer")
PARTS = ("one at a time", "in turn", "other weights", "trained anew")


@dataclass(frozen=True)
class Sizes(recurrent.Sizes):
    """How large everything is; the models are those of `recurrent`."""

    sentences: int = 300  # of each test set, by greedy search
    contrasts: int = 20  # of a kind and a range of distances, in sentences of up to 16 words
    held_out: int = 100  # sentences of the validation set that say which head is next
    extra: int = 20  # tokens that a translation may have beyond its source's
    draws: int = 1000
    read: int = 32  # sentences of the test set that are read by other weights
    search_weights: int = 60  # steps
    most: float = 0.05  # that the next word's distribution may change, in total variation
    patterns: tuple[str | None, ...] = ("previous", "next", "end", None)


QUICK = Sizes(
    **asdict(recurrent.QUICK),
    held_out=4,
    extra=2,
    draws=20,
    read=2,
    search_weights=2,
    patterns=("previous", None),
)


def add_options(command: argparse.ArgumentParser) -> None:
    """What to do of it, and where things are kept."""
    command.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    for name, folder, what in (
        ("--work", Path("runs/bench-heads"), "parts"),
        ("--models", Path("runs/toy-models"), "trained models"),
    ):
        said = f"where {what} are kept (default: {folder})"
        command.add_argument(name, type=Path, default=folder, help=said)


class Questions:
    """What is asked of each model."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, sizes: Sizes):
        self.corpus, self.tokenizer, self.sizes = corpus, tokenizer, sizes

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Right and wrong translations, in sentences no longer than those of training."""
        tests = agreement_tests(self.corpus, self.sizes)
        return [test for test in tests if not is_long(test)]

    @cached_property
    def held_out(self) -> list[Batch]:
        """The sentences that heads are chosen by."""
        pairs = list(self.corpus.splits["validation"])[: self.sizes.held_out]
        return list(batches(encode_pairs(pairs, self.tokenizer), 4096))

    @cached_property
    def read(self) -> Batch:
        """The sentences that are read by other weights."""
        pairs = list(self.corpus.splits["test"])[: self.sizes.read]
        return collate(encode_pairs(pairs, self.tokenizer))

    def bleu(self, model: Transformer, name: str) -> Tensor:
        """The counts of each sentence of a test set: (n, 10)"""
        pairs = list(self.corpus.splits[name])[: self.sizes.sentences]
        sources, references = zip(*pairs, strict=True)
        search = SearchConfig(beam=1, extra=self.sizes.extra)
        return bleu_counts(translate(model, self.tokenizer, sources, search), references)

    def agreement(self, model: Transformer) -> dict[str, Tensor]:
        """For "verb" and "pronoun", of each contrast whether it is wrong, and a 1: (n, 2)"""
        right = preferred(model, self.tokenizer, self.contrasts)
        answers = list(zip(self.contrasts, right, strict=True))
        return {
            kind: torch.tensor([[not r, 1] for test, r in answers if test.kind == kind]).double()
            for kind in ("verb", "pronoun")
        }

    def answers(self, model: Transformer, sets: tuple[str, ...] = ("test",)) -> dict[str, Tensor]:
        """Both, by name."""
        return {name: self.bleu(model, name) for name in sets} | self.agreement(model)

    def loss(self, model: Transformer) -> float:
        """In nats a token, on the sentences that heads are chosen by."""
        return validation_loss(model, self.held_out)


def score_of(name: str) -> Callable[[Tensor], float]:
    """What the sums of an answer are made into."""
    return bleu_of if name in SETS else share_of


def scores_of(answers: dict[str, Tensor]) -> dict[str, float]:
    """BLEU, and the share of wrong words in hundredths."""
    return {name: score_of(name)(each.sum(0)) for name, each in answers.items()}


def compared(before: dict[str, Tensor], after: dict[str, Tensor], sizes: Sizes) -> dict[str, Any]:
    """The scores after, and where 95 of 100 of each difference lie."""
    gaps = {
        f"{name}, interval": paired_interval(before[name], after[name], score_of(name), sizes.draws)
        for name in after
    }
    return scores_of(after) | gaps


def named(head: Head) -> dict[str, Any]:
    """A head as a row begins."""
    return dict(zip(("attention", "layer", "head"), head, strict=True))


def as_it_is(model: Transformer, questions: Questions) -> list[dict[str, Any]]:
    """The scores of the whole model, in one row."""
    return [scores_of(questions.answers(model)) | {"loss": questions.loss(model)}]


def one_at_a_time(model: Transformer, questions: Questions) -> list[dict[str, Any]]:
    """The scores without each of the heads."""
    whole = questions.answers(model)

    def row(head: Head) -> dict[str, Any]:
        other = without(model, [head])
        found = compared(whole, questions.answers(other), questions.sizes)
        return named(head) | {"loss": questions.loss(other)} | found

    return [row(head) for head in all_heads(model)]


def in_turn(model: Transformer, questions: Questions) -> list[dict[str, Any]]:
    """The heads of each attention off, one after the other, and what is left of loss and BLEU."""
    rows = []
    whole = {"test": questions.bleu(model, "test")}
    for name in attentions(model):
        off: list[Head] = []
        left = [head for head in all_heads(model) if head[0] == name]
        while left:
            losses = {head: questions.loss(without(model, [*off, head])) for head in left}
            off.append(min(losses, key=lambda head: losses[head]))
            left.remove(off[-1])
            counts = {"test": questions.bleu(without(model, off), "test")}
            found = compared(whole, counts, questions.sizes)
            rows.append({"off": len(off)} | named(off[-1]) | {"loss": losses[off[-1]]} | found)
    return rows


def trained_anew(
    whole: Transformer, questions: Questions, folder: Path, seed: int
) -> list[dict[str, Any]]:
    """All scores of the model and of those that the same recipe makes of a changed one."""
    sizes = questions.sizes
    changes: dict[str, Callable[[Transformer], Transformer]] = {
        "fixed": lambda model: with_patterns(model, sizes.patterns),
        "even": lambda model: with_even(model, "encoder"),
    }
    models = {"whole": whole} | {
        name: trained(folder, seed, sizes, name, change) for name, change in changes.items()
    }
    answers = {name: questions.answers(model, SETS) for name, model in models.items()}
    return [
        {"model": name} | compared(answers["whole"], found, sizes)
        for name, found in answers.items()
    ]


def read_otherwise(model: Transformer, questions: Questions) -> list[dict[str, Any]]:
    """How far the weights of each layer can go while the translations stay."""
    batch, sizes, rows = questions.read, questions.sizes, []
    for name, layers in attentions(model).items():
        for layer in range(1, len(layers) + 1):
            torch.manual_seed(1)
            look = partial(other_weights, model, batch.source, batch.target_in, name, layer)
            found, chance = look(sizes.search_weights, sizes.most), look(1, sizes.most)
            moved = found.moved
            rows.append(
                {"attention": name, "layer": layer, "sentences": len(moved)}
                | {"found": (moved > 0).double().mean().item()}
                | {"by the first random weights": (chance.moved > 0).double().mean().item()}
                | {"moved": moved.mean().item(), "moved, median": moved.median().item()}
                | {"over half": (moved > 0.5).double().mean().item()}
            )
    return rows


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench heads"""
    began, at_commit = time.perf_counter(), commit()
    sizes = QUICK if options.quick else Sizes()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        corpus, tokenizer = prepared(sizes)
        scores, config = all_scores(Questions(corpus, tokenizer, sizes), options)
    finally:
        torch.set_num_threads(threads)
    show(scores)
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=corpus_hashes(corpus),
            config={"model": config, **asdict(sizes), "threads": 1},
            seconds=time.perf_counter() - began,
            curve=scores[options.parts[0]],
            scores=scores,
        )


def all_scores(
    questions: Questions, options: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of all seeds, by what was done; and the configuration of the models."""
    sizes = questions.sizes
    kept = Kept(options.work, sizes)
    scores: dict[str, Any] = {}
    for seed in sizes.seeds:
        whole = trained(options.models, seed, sizes)
        works: dict[str, Callable[[], Any]] = {
            "whole": partial(as_it_is, whole, questions),
            "one at a time": partial(one_at_a_time, whole, questions),
            "in turn": partial(in_turn, whole, questions),
            "other weights": partial(read_otherwise, whole, questions),
            "trained anew": partial(trained_anew, whole, questions, options.models, seed),
        }
        for name in ("whole", *options.parts):
            rows = kept.part(f"{name} {seed}", works[name])
            scores.setdefault(name, []).extend({"seed": seed} | row for row in rows)
    return scores, described(whole.config)


def show(scores: dict[str, Any]) -> None:
    """The tables for the reader."""
    for name, rows in scores.items():
        plain = [{k: x for k, x in row.items() if not isinstance(x, list)} for row in rows]
        print(report.table(name, plain) + "\n")
