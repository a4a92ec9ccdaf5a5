"""Which corpus the options name, what suits it, and which of its sets are scored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from annotated.cli.options import BaseOptions, File, UserError, option, override
from annotated.cli.trees import (
    PAIR,
    TREEBANKS,
    open_tree_files,
    open_treebank,
    trees_to_score,
)
from annotated.data.corpora import Corpus, language, load, load_files, read_pairs, sums
from annotated.data.tokenizer import SMALLEST
from annotated.model.transformer import PRESETS
from annotated.models import FIRST, MODELS, like, name_of, options_of
from annotated.ranges import Count, RangeError
from annotated.training.loop import TrainingConfig
from annotated.training.recipes import recipe

Name = Literal["toy", "multi30k", "tatoeba", "wmt14", "trees", "craft"]
SIDES = ["source", "target", "valid_source", "valid_target"]
TREES = ["trees", "valid_trees"]


@dataclass(frozen=True, kw_only=True)
class CorpusOptions(BaseOptions):
    """A corpus by its name, or text files."""

    data: Name | None = None  # the corpus (default: toy)
    pair: str | None = None  # source and target language: en-de (default) or en-fr
    # instead of a corpus, a text file: the source side, a sentence a line
    source: File | None = None
    target: File | None = None  # the target side, as many lines
    # instead of both, a file of trees in Penn brackets, for a parser (Section 6.3)
    trees: File | None = None

    def files(self) -> list[Path]:
        """The files: none; two, or four with validation files; one of trees, or two."""
        if given := [name for name in TREES if name in self.given]:
            if "trees" not in given or {"data", "pair", *SIDES} & self.given.keys():
                raise UserError("--trees takes the place of --data and of --source and --target")
            return [self.given[name] for name in given]
        names = [name for name in SIDES if name in self.given]
        if names not in ([], SIDES[:2], SIDES):
            both = "--source and --target go together"
            raise UserError(f"{both}, and so do --valid-source and --valid-target")
        if names and (self.data or self.pair):
            raise UserError("--source and --target take the place of --data and --pair")
        return [self.given[name] for name in names]

    def corpus(self) -> Corpus:
        """The corpus that the options name."""
        return open_corpus(self.files(), self.data, PAIR if self.trees else self.pair)


@dataclass(frozen=True, kw_only=True)
class TrainingCorpusOptions(CorpusOptions):
    """A corpus to train on."""

    # the source side of a validation set (default: part of the other files)
    valid_source: File | None = None
    valid_target: File | None = None  # the target side of a validation set
    valid_trees: File | None = None  # trees of a validation set (default: part of the others)
    lowercase: bool = False  # make all text lower-case
    train_pairs: Count | None = None  # train on so many pairs, the corpus's first

    def corpus(self) -> Corpus:
        """The corpus that the options name, with as many training pairs as they say."""
        return with_fewer(super().corpus(), self.train_pairs)


def configure(options: CorpusOptions, preset: str | None = None) -> tuple[Any, TrainingConfig]:
    """The two configurations of a run; RangeError where an option is out of range.

    UserError where one is of another model than the one that is asked for.
    """
    corpus, name = "files" if options.files() else options.data or "toy", options.given.get("model")
    corpus = "craft" if options.trees else corpus
    model, training = recipe(corpus, options.pair, preset)
    if name and preset and name != name_of(PRESETS[preset]):
        raise UserError(f"--preset is of the paper's model: leave it or --model {name} out")
    check_options(options.given, name or FIRST)
    model, training = (override(x, options.given) for x in (like(model, name or FIRST), training))
    if model.vocab_size < SMALLEST:
        raise RangeError("vocab_size", f"is {SMALLEST} or more, not {model.vocab_size}")
    return model, training


def check_options(given: Iterable[str], name: str) -> None:
    """UserError where one of these options is not of the model of this name, but of another."""
    known = set().union(*map(options_of, MODELS))
    for each in sorted(known.intersection(given) - options_of(name)):
        raise UserError(f"{option(each)} is no option of the {name} model: leave it out")


def open_corpus(files: Sequence[Path | str], name: str | None, pair: str | None) -> Corpus:
    """Source and target, and the two of a validation set where they are there; or a corpus.

    Or of trees: one file, or two, or a treebank.
    """
    if name in TREEBANKS:
        return open_treebank(name, pair)
    if files and pair == PAIR:
        return open_tree_files(files)
    if not files:
        return load(name or "toy", pair or "en-de")
    source, target, *valid = map(Path, files)
    return load_files(source, target, (valid[0], valid[1]) if valid else None)


def with_fewer(corpus: Corpus, pairs: int | None) -> Corpus:
    """The corpus with so many training pairs, its first, or with all."""
    if pairs is None:
        return corpus
    train = corpus.splits["train"]
    if not isinstance(train, list):
        raise UserError(f"--train-pairs cannot go with {corpus.name}, which is read as a stream")
    if pairs > len(train):
        raise UserError(f"--train-pairs {pairs}: {corpus.name} has {len(train):,} training pairs")
    return replace(corpus, splits={**corpus.splits, "train": train[:pairs]})


def corpus_of(about: dict[str, Any]) -> Corpus:
    """The corpus that a model was trained on, as its checkpoint says."""
    named = open_corpus(about.get("files", []), about.get("data"), about.get("pair"))
    return with_fewer(named, about.get("train_pairs"))


def sets_to_score(corpus: Corpus) -> list[str]:
    """The names of its test sets; where there are none, the validation set."""
    return corpus.tests() or ["validation"]


def sets_asked(
    options: CorpusOptions, split: str | None, about: dict[str, Any]
) -> tuple[Corpus, list[str]]:
    """The corpus to score a model on, and the names of those of its sets that are asked for.

    Two files are a corpus of one set. Where the options name neither, it is the corpus that the
    model was trained on.
    """
    if files := options.files():
        if split:
            raise UserError("--split goes with a corpus: of files, all lines are scored")
        if options.trees:
            return trees_to_score(files[0]), ["test"]
        pairs = {"test": read_pairs(files[0], files[1])}
        return Corpus("files", language(files[0]), language(files[1]), pairs), ["test"]
    trained = about.get("data", "toy"), about.get("pair", "en-de")
    asked = options.data or trained[0], options.pair or trained[1]
    corpus = corpus_of(about) if asked == trained else open_corpus([], *asked)
    names = sets_to_score(corpus)
    if split != "all":
        names = [split or names[0]]
    found = sums(corpus.lists())
    if not found.keys() >= {*names}:
        raise UserError(f"{corpus.name} has no set {names[0]!r}: it has {', '.join(found)}, or all")
    known = about.get("sums", {}) if asked == trained else {}
    for name in names:
        if found[name] != known.get(name, found[name]):
            raise UserError(
                f"the {name} set of {corpus.name} has changed since the model was trained, which "
                "may have seen some of it: bring the old text back, or score two other files with "
                "--source and --target"
            )
    return corpus, names
