"""Parsers at the command line: treebanks as corpora, models that parse, and their scores."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from annotated.cli.options import UserError
from annotated.cli.record import Result
from annotated.data.corpora import Corpus
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.bracketing import Brackets, score
from annotated.evidence.parsing import (
    ParsingConfig,
    TreeTokenizer,
    by_length,
    parse,
    tree_corpus,
    tree_of,
    well_formed,
    written,
)
from annotated.evidence.trees import NO_TEXT, Tree, treebank, treebank_files
from annotated.fast.engine import is_export
from annotated.folders import complete
from annotated.training.checkpoints import load_checkpoint, read_description
from annotated.translation.scores import Score

TREEBANKS = {"trees": "toy", "craft": "craft"}  # a corpus of trees -> its treebank
PAIR = "en-trees"  # of a corpus of trees, and of a model that was trained on one
RULES = "labelled brackets of the corpus by EVALB's rules, COLLINS.prm"
QUICK = 300  # sentences that are parsed at a look at the validation set
HELD_OUT = 20  # of so many sentences one is for validation, where no file is named


def open_treebank(name: str, pair: str | None) -> Corpus:
    """A treebank as a corpus of words and symbols."""
    if pair not in (None, PAIR):
        raise UserError(f"{name} is a treebank and has no pair {pair}: leave --pair out")
    return tree_corpus(name, treebank(TREEBANKS[name]))


def open_tree_files(files: Sequence[Path | str]) -> Corpus:
    """Trees to train on, and those of a second file for validation, or else some of the first."""
    train, *valid = map(Path, files)
    splits = treebank_files([train], valid)
    if not valid:
        sentences = [tuple(tree.leaves()) for tree in splits["train"]]
        apart = {*list(dict.fromkeys(sentences))[::HELD_OUT]}  # none of them is in both
        held = [sentence in apart for sentence in sentences]
        splits["validation"] = list(compress(splits["train"], held))
        splits["train"] = list(compress(splits["train"], (not each for each in held)))
    if not (splits["train"] and splits["validation"]):
        few = f"{train} has too few trees to hold some out for validation"
        raise UserError(f"{few}: name a second file with --valid-trees")
    return tree_corpus("files", splits)


def trees_to_score(file: Path) -> Corpus:
    """The trees of one file, all of them to be scored."""
    return tree_corpus("files", {"test": treebank_files([file])["train"]})


def are_trees(corpus: Corpus) -> bool:
    """Whether a corpus is a treebank."""
    return corpus.pair == PAIR


def fitted(tokenizer: Tokenizer, corpus: Corpus) -> Tokenizer:
    """A loaded tokenizer as this corpus needs it; UserError where it knows no symbols of trees."""
    if not are_trees(corpus):
        return tokenizer
    ours = TreeTokenizer.over(tokenizer)
    if not ours.names:
        raise UserError(f"{corpus.name} has trees, and the model is no parser: leave --init out")
    return ours


@dataclass(frozen=True)
class Parser:
    """A model that writes trees."""

    model: Any
    tokenizer: TreeTokenizer
    about: dict[str, Any]  # what was kept of its run

    def symbols(
        self, sentences: Sequence[Sequence[str]], config: ParsingConfig
    ) -> list[list[str | None]]:
        """What the model writes for each sentence, given as its words."""
        return written(self.model, self.tokenizer, sentences, config)


def is_parser(folder: Path) -> bool:
    """Whether the model there was trained on trees."""
    if is_export(folder):
        return False
    return read_description(complete(folder) / "model.json")[1].get("pair") == PAIR


def open_parser(folder: Path, device: Any) -> Parser:
    """The model of a checkpoint; UserError where it was trained on other than trees."""
    if not is_parser(folder):
        train = "annotated train --data trees"
        raise UserError(f"{folder} translates and does not parse: train a parser with {train}")
    model, tokenizer, about = load_checkpoint(folder, device)
    return Parser(model, TreeTokenizer.over(tokenizer), about)


def gold_of(pair: tuple[str, str]) -> Tree:
    """The tree that a pair of words and symbols is."""
    words, symbols = pair
    return tree_of(words.split(), symbols.split())


@dataclass(frozen=True)
class ParseResult(Result):
    """The trees of one test set, and their scores."""

    brackets: Brackets
    more: dict[str, Any]

    def entry(self) -> dict[str, Any]:
        """The scores and the counts that they are made of."""
        return {**figures(self.brackets), "signature": RULES, **self.more}


def figures(brackets: Brackets) -> dict[str, Any]:
    """The percentages, the F1 first, and the counts."""
    names = ("f1", "precision", "recall", "complete", "tagging")
    return {name: round(getattr(brackets, name), 4) for name in names} | {
        "counts": asdict(brackets)
    }


def parsed(
    parser: Parser, corpus: Corpus, names: Sequence[str], config: ParsingConfig
) -> Iterator[ParseResult]:
    """Parse and score these sets of a corpus, one after the other."""
    for name in names:
        gold = [gold_of(pair) for pair in corpus.splits[name]]
        sentences = [tree.leaves() for tree in gold]
        symbols = parser.symbols(sentences, config)
        trees = [tree_of(*each) for each in zip(sentences, symbols, strict=True)]
        yield result(name, gold, trees, symbols)


def quick_f1(parser: Parser, pairs: Sequence[tuple[str, str]]) -> float:
    """The F1 of greedy search on the first of these pairs: a look on the way, for speed."""
    gold = [gold_of(pair) for pair in pairs[:QUICK]]
    sentences = [tree.leaves() for tree in gold]
    return score(gold, parse(parser.model, parser.tokenizer, sentences, ParsingConfig(beam=1))).f1


def result(
    name: str, gold: Sequence[Tree], trees: Sequence[Tree], symbols: Sequence[list[str | None]]
) -> ParseResult:
    """All that is to be said of the trees of one set."""
    brackets, groups = score(gold, trees), by_length(gold, trees)
    whole = sum(
        well_formed(each, len(tree.leaves())) for each, tree in zip(symbols, gold, strict=True)
    )
    more: dict[str, Any] = {
        "sentences": len(gold),
        "well_formed": whole,
        "by_length": {length: figures(each) for length, each in groups.items()},
    }
    text = [tree.label not in NO_TEXT for tree in gold]
    if not all(text):
        without = score([*compress(gold, text)], [*compress(trees, text)])
        more["without_headings"] = figures(without)
    scores = {
        key: Score(getattr(brackets, key), RULES, metric)
        for key, metric in (("f1", "F1"), ("precision", "precision"), ("recall", "recall"))
    }
    pairs = [(" ".join(tree.leaves()), str(tree)) for tree in gold]
    return ParseResult(name, pairs, [str(tree) for tree in trees], scores, brackets, more)
