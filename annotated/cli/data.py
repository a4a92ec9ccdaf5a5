"""annotated data [NAME | --source FILE --target FILE] [options]

Fetch a corpus, check it, and show what is in it. The large one, wmt14, is also encoded into files
that training reads, with what annotated train will be told; interrupted, it goes on next time.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pooch

from annotated.cli.corpus import Name, TrainingCorpusOptions
from annotated.cli.options import POSITIONAL, UserError, say
from annotated.cli.recipes import configure
from annotated.data import memory_mapped
from annotated.data.batching import Encoded, encode_pairs, longer_side
from annotated.data.corpora import Corpus
from annotated.data.memory_mapped import State, read_state
from annotated.data.tokenizer import Tokenizer, spaced
from annotated.fast import workers
from annotated.files import make, put
from annotated.ranges import Count, Length

SAMPLE = 500_000  # pairs of a large corpus that the vocabulary is learnt from


@dataclass(frozen=True, kw_only=True)
class Options(TrainingCorpusOptions):
    """What annotated data is told."""

    data: Name | None = field(default=None, metadata=POSITIONAL)  # the corpus (default: toy)
    vocab_size: Count | None = None  # for wmt14: tokens in the shared vocabulary (Section 5.1)
    max_tokens: Length | None = None  # for wmt14: pairs with a longer side are left out


def run(options: Options) -> None:
    """Print how many pairs each set has, and the first three."""
    model, training = configure(options)
    corpus = options.corpus()
    for name, pairs in corpus.splits.items():
        if isinstance(pairs, list) or not is_shared(corpus):  # below, encoding counts the others
            print(f"{name:18} {sum(1 for _ in pairs):>10,} pairs", flush=True)
    for source, target in islice(corpus.splits["train"], 3):
        print(f"  {corpus.source}: {source}\n  {corpus.target}: {target}", flush=True)
    if is_shared(corpus):
        folder = encoded_folder(corpus, model.vocab_size, options.lowercase)
        tokenizer = vocabulary(corpus, model.vocab_size, options.lowercase)
        encoded = training_pairs(corpus, tokenizer, folder, training.longest())
        print(f"{'train':18} {len(encoded):>10,} pairs")
        say(f"the training pairs are encoded in {folder}: annotated train uses them")


def is_large(corpus: Corpus) -> bool:
    """Whether the training part is a stream, to be encoded into files before it is used."""
    return not isinstance(corpus.splits["train"], list)


def is_shared(corpus: Corpus) -> bool:
    """Whether these files serve all runs: a large corpus that is published."""
    return is_large(corpus) and corpus.name != "files"


def encoded_folder(corpus: Corpus, vocab_size: int, lowercase: bool) -> Path:
    """Where a shared corpus is kept, encoded, with its vocabulary: in the user's cache."""
    name = f"{corpus.name}-{corpus.pair}-{vocab_size}" + "-lower" * lowercase
    return Path(pooch.os_cache("annotated")) / "prepared" / name


def vocabulary(corpus: Corpus, vocab_size: int, lowercase: bool) -> Tokenizer:
    """A vocabulary of both sides, of a large corpus from a sample; a shared one's is kept."""
    file = encoded_folder(corpus, vocab_size, lowercase) / "tokenizer.json"
    if is_shared(corpus) and file.exists():
        return Tokenizer.load(file)
    pairs: Iterable[tuple[str, str]] = corpus.splits["train"]
    if is_large(corpus):
        say(f"choosing {SAMPLE:,} pairs at most to learn the vocabulary from")
        pairs = memory_mapped.sample(pairs, SAMPLE)
    say(f"learning a vocabulary of {vocab_size:,} tokens")
    lines = (spaced(line) for pair in pairs for line in pair)
    tokenizer = Tokenizer.train(lines, vocab_size, lowercase=lowercase)
    if is_shared(corpus):
        make(file.parent)
        tokenizer.save(file)
    return tokenizer


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
        encoded = encode_pairs(pairs, tokenizer, longest)
        say_left_out(len(pairs) - len(encoded), len(pairs), longest)
        return encoded
    place = folder / f"pairs-{longest}"

    def encode() -> State | None:
        state = read_state(place) if is_shared(corpus) else None
        digest = memory_mapped.tokenizer_hash(tokenizer)
        if not (state and state.finished and state.tokenizer == digest):
            say(f"encoding {corpus.name} into {place}; stopped, it goes on next time")
            memory_mapped.prepare(pairs, tokenizer, place, longest)
        return read_state(place)

    state = workers.first(encode)
    if run and not all_see(place, state):
        place = workers.first(lambda: copied(place, run / place.name))
        if not all_see(place, state):
            raise UserError(f"{place} is not seen by all machines: --out must be a shared folder")
    prepared = memory_mapped.Prepared(place)
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


def validation_pairs(
    corpus: Corpus, tokenizer: Tokenizer, longest: int
) -> tuple[list[tuple[str, str]], list[Encoded]]:
    """The validation pairs of no more than `longest` tokens, as texts and as ids."""
    pairs = list(corpus.splits["validation"])
    encoded = encode_pairs(pairs, tokenizer)
    kept = [i for i, ids in enumerate(encoded) if longer_side(ids) <= longest]
    say_left_out(len(pairs) - len(kept), len(pairs), longest, "validation pairs")
    return [pairs[i] for i in kept], [encoded[i] for i in kept]


def say_left_out(left: int, count: int, longest: int, what: str = "training pairs") -> None:
    """Tell how many pairs were too long, if any; UserError where all were."""
    if left == count:
        none = f"none of {count:,} {what} has {longest} tokens or less"
        raise UserError(f"{none}: raise --max-tokens or --batch-tokens")
    if left:
        say(f"{left:,} of {count:,} {what} have more than {longest} tokens: left out")
