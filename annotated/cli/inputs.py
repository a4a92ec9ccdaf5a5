"""What a command works on, as its options say: device, corpus, vocabulary, pairs as ids."""

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pooch
import torch

from annotated.cli.options import UserError, tell
from annotated.cli.record import held_out_sums
from annotated.data.batching import Encoded, encode_pairs, longer_side
from annotated.data.corpora import Corpus, language, load, load_files, read_pairs
from annotated.data.memory_mapped import (
    Prepared,
    State,
    prepare,
    read_state,
    sample,
    tokenizer_hash,
)
from annotated.data.tokenizer import Tokenizer, spaced
from annotated.fast import workers
from annotated.files import make, put

Pairs = list[tuple[str, str]]
SAMPLE = 500_000  # pairs of a large corpus that the vocabulary is learnt from


def say(sentence: str) -> None:
    """Progress goes to standard error, once; standard output is for results."""
    if workers.rank() == 0:
        tell(sentence)


def device_of(options: argparse.Namespace) -> torch.device:
    """The device that is asked for."""
    present = torch.cuda.is_available()
    if options.device == "auto":
        return torch.device("cuda" if present else "cpu")
    if options.device not in ("cpu", "cuda"):
        raise UserError(f"--device is cpu or cuda, not {options.device}")
    if options.device == "cuda" and not present:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; leave the option out")
    return torch.device(options.device)


# The corpus.


def files_named(options: argparse.Namespace) -> list[Path]:
    """The text files that the options name: none, two, or four with validation files."""
    sides = [options.source, options.target]
    valid = [getattr(options, f"valid_{side}", None) for side in ("source", "target")]
    if not any(sides + valid):
        return []
    if not all(sides) or any(valid) != all(valid):
        raise UserError(
            "--source and --target go together, and so do --valid-source and --valid-target"
        )
    if options.data or options.pair:
        raise UserError("--source and --target take the place of --data and --pair")
    return [file for file in sides + valid if file]


def corpus_name(options: argparse.Namespace) -> str:
    """The name of the corpus that the options ask for."""
    return "files" if files_named(options) else options.data or "toy"


def corpus_asked(options: argparse.Namespace) -> Corpus:
    """The corpus that the options name."""
    if files := files_named(options):
        return open_files(files)
    return load(corpus_name(options), options.pair or "en-de")


def corpus_of(about: dict[str, Any]) -> Corpus:
    """The corpus that a model was trained on, as its checkpoint says."""
    if files := about.get("files"):
        return open_files([Path(file) for file in files])
    return load(about.get("data", "toy"), about.get("pair", "en-de"))


def sets_asked(options: argparse.Namespace, about: dict[str, Any]) -> tuple[Corpus, list[str]]:
    """The corpus to score a model on, and the names of those of its sets that are asked for.

    Two files are a corpus of one set. Where the options name neither, it is the corpus that the
    model was trained on.
    """
    if files := files_named(options):
        if options.split:
            raise UserError("--split goes with a corpus: of two files, all lines are scored")
        languages = language(files[0]), language(files[1])
        return Corpus("files", *languages, {"test": read_pairs(files[0], files[1])}), ["test"]
    trained = about.get("data", "toy"), about.get("pair", "en-de")
    if options.data or options.pair:
        corpus = load(options.data or trained[0], options.pair or trained[1])
    else:
        corpus = corpus_of(about)
    names = test_sets(corpus) or ["validation"]
    if options.split != "all":
        names = [options.split or names[0]]
    sums = held_out_sums(corpus)
    if not sums.keys() >= {*names}:
        raise UserError(f"{corpus.name} has no set {names[0]!r}: it has {', '.join(sums)}, or all")
    if trained == (corpus.name, f"{corpus.source}-{corpus.target}"):
        refuse_changed(corpus.name, {name: sums[name] for name in names}, about.get("sums", {}))
    return corpus, names


def refuse_changed(corpus: str, sums: dict[str, Any], trained: dict[str, Any]) -> None:
    """UserError where a set has other pairs than when a model was trained on the rest."""
    for name in sums:
        if name in trained and sums[name] != trained[name]:
            raise UserError(
                f"the {name} set of {corpus} has changed since the model was trained, which may "
                "have seen some of it: bring the old text back, or score two other files with "
                "--source and --target"
            )


def test_sets(corpus: Corpus) -> list[str]:
    """The names of a corpus's test sets."""
    return [name for name in corpus.splits if name.startswith("test")]


def open_files(files: Sequence[Path]) -> Corpus:
    """Source and target, and the two of a validation set where they are there, as a corpus."""
    source, target, *valid = files
    return load_files(source, target, (valid[0], valid[1]) if valid else None)


def is_large(corpus: Corpus) -> bool:
    """Whether the training part is a stream, to be encoded into files before it is used."""
    return not isinstance(corpus.splits["train"], list)


def is_shared(corpus: Corpus) -> bool:
    """Whether these files serve all runs: a large corpus that is published."""
    return is_large(corpus) and corpus.name != "files"


# The vocabulary.


def learn_vocabulary(corpus: Corpus, vocab_size: int, lowercase: bool) -> Tokenizer:
    """The vocabulary of both sides; of a large corpus from a sample of its pairs."""
    pairs: Iterable[tuple[str, str]] = corpus.splits["train"]
    if is_large(corpus):
        say(f"choosing {SAMPLE:,} pairs at most to learn the vocabulary from")
        pairs = sample(pairs, SAMPLE)
    say(f"learning a vocabulary of {vocab_size:,} tokens")
    lines = (spaced(line) for pair in pairs for line in pair)
    return Tokenizer.train(lines, vocab_size, lowercase=lowercase)


def home(corpus: Corpus, vocab_size: int, lowercase: bool) -> Path:
    """Where a shared corpus is kept, encoded, with its vocabulary: in the user's cache."""
    name = f"{corpus.name}-{corpus.source}-{corpus.target}-{vocab_size}"
    return Path(pooch.os_cache("annotated")) / "prepared" / (name + "-lower" * lowercase)


def vocabulary(corpus: Corpus, vocab_size: int, lowercase: bool) -> Tokenizer:
    """A vocabulary learnt from the corpus; that of a shared one is learnt once and kept."""
    if not is_shared(corpus):
        return learn_vocabulary(corpus, vocab_size, lowercase)
    file = home(corpus, vocab_size, lowercase) / "tokenizer.json"
    if not file.exists():
        tokenizer = learn_vocabulary(corpus, vocab_size, lowercase)
        make(file.parent)
        tokenizer.save(file)
    return Tokenizer.load(file)


# The pairs.


def sides(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The sources and the targets of some pairs."""
    return [source for source, _ in pairs], [target for _, target in pairs]


def training_pairs(
    corpus: Corpus, tokenizer: Tokenizer, folder: Path, longest: int, run: Path | None = None
) -> Sequence[Encoded]:
    """The training pairs as ids: in memory, or of a large corpus in files below `folder`.

    Pairs with a side of more than `longest` tokens are left out, and counted on standard error.
    The first worker encodes. Where others do not see its `folder`, the files are copied into the
    run's.
    """
    pairs = corpus.splits["train"]
    if isinstance(pairs, list):
        encoded: Sequence[Encoded] = encode_pairs(pairs, tokenizer, longest)
        say_left_out(len(pairs) - len(encoded), len(pairs), longest)
        return encoded
    place = folder / f"pairs-{longest}"

    def encode() -> State | None:
        if not (is_shared(corpus) and is_prepared(place, tokenizer)):
            say(f"encoding {corpus.name} into {place}; stopped, it goes on next time")
            prepare(pairs, tokenizer, place, longest)
        return read_state(place)

    state = workers.first(encode)
    if run and not all_see(place, state):
        place = workers.first(lambda: copied(place, run / place.name))
        if not all_see(place, state):
            raise UserError(f"{place} is not seen by all machines: --out must be a shared folder")
    prepared = Prepared(place)
    say_left_out(prepared.state.left_out, prepared.state.read, longest)
    return prepared


def all_see(place: Path, state: State | None) -> bool:
    """Whether every worker finds the same pairs there."""
    return not any(workers.agree(read_state(place) != state))


def copied(place: Path, there: Path) -> Path:
    """Prepared pairs in another place, where they are copied to unless they are there."""
    if read_state(there) != read_state(place):
        part = there.with_name(f".{there.name}.part")
        for old in (part, there):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(place, part)
        put(part, there)
    return there


def is_prepared(place: Path, tokenizer: Tokenizer) -> bool:
    """Whether `prepare` has finished there, with this vocabulary."""
    state = read_state(place)
    return state is not None and state.finished and state.tokenizer == tokenizer_hash(tokenizer)


def short_pairs(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, longest: int
) -> tuple[list[tuple[str, str]], list[Encoded]]:
    """The validation pairs that are not too long, as texts and as ids."""
    encoded = encode_pairs(pairs, tokenizer)
    kept = [i for i, ids in enumerate(encoded) if longer_side(ids) <= longest]
    say_left_out(len(pairs) - len(kept), len(pairs), longest, "validation pairs")
    return [pairs[i] for i in kept], [encoded[i] for i in kept]


def say_left_out(left: int, count: int, longest: int, what: str = "training pairs") -> None:
    """Tell how many pairs were too long, if any; UserError where all were."""
    if left == count:
        raise UserError(
            f"none of {count:,} {what} has {longest} tokens or less: raise --max-tokens or "
            "--batch-tokens"
        )
    if left:
        say(f"{left:,} of {count:,} {what} have more than {longest} tokens: left out")
