"""Parsers without a network on the CRAFT trees: right-branching, and grammars read off the trees.

Labelled bracketing on the development set by the rules of EVALB with Collins's parameters, of all
sentences and of those that are no title, heading or caption, and by their length. The grammars are
read off all training trees, headings and captions with them: one as it is counted, one smoothed,
one with each label's parent as well. A sentence that a grammar has no tree for gets the
right-branching one.
"""

import argparse
import hashlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from annotated.evidence.bracketing import compare, score
from annotated.evidence.grammar import Grammar, Lexicon, Parser, right_branching
from annotated.evidence.parsing import length_group
from annotated.evidence.trees import Tree, treebank, without_headings
from annotated.results import commit
from tools.bench import report

GRAMMARS: dict[str, dict[str, Any]] = {
    "grammar, not smoothed": {"smoothing": 0.0, "word_smoothing": 0.0},
    "grammar": {"smoothing": 5.0, "word_smoothing": 1.0},
    "grammar, parents told apart": {"parents": True, "smoothing": 5.0, "word_smoothing": 1.0},
}
Parse = Callable[[Sequence[str]], Tree | None]


def add_options(command: argparse.ArgumentParser) -> None:
    """Which trees."""
    command.add_argument(
        "--data", choices=("craft", "toy"), default="craft", help="the trees (default: craft)"
    )


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench grammar"""
    began, at_commit = time.perf_counter(), commit()
    bank = treebank(options.data)
    train, gold = bank["train"], bank["validation"]
    if options.quick:
        train, gold = train[:200], gold[:20]
    fallback, rows, curve = Branching(train), [], []
    for name, parse in parsers(train, fallback):
        start = time.perf_counter()
        found = [parse(tree.leaves()) for tree in gold]
        kept = {"without a tree": found.count(None), "seconds": time.perf_counter() - start}
        parsed = [x or fallback(tree.leaves()) for x, tree in zip(found, gold, strict=True)]
        new = [{"parser": name} | kept | row for row in scored(gold, parsed)]
        rows += new
        curve.append({"parser": name, "sentences": len(gold), "F1": new[0]["F1"]})
        report.say(f"{name}: {time.perf_counter() - began:.0f} s")
    show(rows)
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data={name: digest(trees) for name, trees in (("train", train), ("validation", gold))},
            config={
                "grammars": GRAMMARS,
                "right-branching": {"root": fallback.root, "label": fallback.label},
            },
            seconds=time.perf_counter() - began,
            curve=curve,
            scores={"parsers": rows, "trees": {"train": len(train), "validation": len(gold)}},
        )


def digest(trees: Sequence[Tree]) -> str:
    """The SHA-256 of trees, a line each."""
    return hashlib.sha256("".join(f"{tree}\n" for tree in trees).encode()).hexdigest()


class Branching:
    """Right-branching trees with the labels and tags that training has most often."""

    def __init__(self, train: Sequence[Tree]):
        inner = Counter(
            node.label for tree in train for node in [*tree.nodes()][1:] if not node.is_tag
        )
        self.label = inner.most_common(1)[0][0]
        self.root = Counter(tree.label for tree in train).most_common(1)[0][0]
        self.lexicon = Lexicon(train, GRAMMARS["grammar"]["word_smoothing"])

    def __call__(self, words: Sequence[str]) -> Tree:
        tags = [self.lexicon.best(word) for word in words]
        return right_branching(words, tags, self.root, self.label)


def parsers(train: Sequence[Tree], branching: Branching) -> Iterator[tuple[str, Parse]]:
    """Each parser with its name; a grammar is read off when its turn comes."""
    yield "right-branching", branching
    for name, settings in GRAMMARS.items():
        yield name, best_trees(Parser(Grammar(train, **settings)))


def best_trees(parser: Parser) -> Parse:
    """What gives the best tree of a sentence, or None."""

    def parse(words: Sequence[str]) -> Tree | None:
        found = parser.parse(words)
        return found.tree if found else None

    return parse


def scored(gold: Sequence[Tree], parsed: Sequence[Tree]) -> list[dict[str, Any]]:
    """A row for all sentences, one for running text, and one for each of its lengths."""
    pairs = list(zip(gold, parsed, strict=True))
    text = [pair for pair in pairs if without_headings([pair[0]])]
    groups = {"all": pairs, "running text": text}
    for pair in sorted(pairs, key=lambda pair: len(pair[0].leaves())):
        groups.setdefault(length_group(pair[0]), []).append(pair)
    return [{"of": name} | counts(group) for name, group in groups.items() if group]


def counts(pairs: Sequence[tuple[Tree, Tree]]) -> dict[str, Any]:
    """What the scorer says of some sentences, gold first."""
    gold, parsed = zip(*pairs, strict=True)
    found, strict = score(gold, parsed), score(gold, parsed, strict=True)
    return {
        "F1": found.f1,
        "precision": found.precision,
        "recall": found.recall,
        "complete": found.complete,
        "tagging": found.tagging,
        "mean F1 of sentences": statistics.mean(compare(*pair).f1 for pair in pairs),
        "F1, EVALB to the letter": strict.f1,
        "errors, EVALB to the letter": strict.errors,
        "counts": asdict(found),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table for the reader."""
    wanted = ("parser", "of", "F1", "precision", "recall", "complete", "tagging", "without a tree")
    print(report.table("labelled bracketing", [{key: row[key] for key in wanted} for row in rows]))
