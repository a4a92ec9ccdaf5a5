"""annotated data [NAME | --source FILE --target FILE | --trees FILE] [options]

Fetch a corpus, check it, and show what is in it. The large one, wmt14, is also encoded into files
that training reads, with what annotated train will be told; interrupted, it goes on next time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pooch

from annotated.cli.corpus import Name, TrainingCorpusOptions, configure
from annotated.cli.options import POSITIONAL, UserError, say
from annotated.cli.trees import are_trees
from annotated.data.batching import Encoded, encode_pairs, longer_side
from annotated.data.corpora import Corpus
from annotated.data.memory_mapped import (
    SAMPLE,
    Prepared,
    State,
    copied,
    is_prepared,
    learn_vocabulary,
    prepare,
    read_state,
)
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.parsing import TreeTokenizer
from annotated.fast import workers
from annotated.files import make
from annotated.ranges import Count, Length


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
    folder = shared_folder(corpus, model.vocab_size, options.lowercase)
    for name, pairs in corpus.splits.items():
        if isinstance(pairs, list) or not folder:  # below, encoding counts the others
            print(f"{name:18} {sum(1 for _ in pairs):>10,} pairs", flush=True)
    for source, target in islice(corpus.splits["train"], 3):
        print(f"  {corpus.source}: {source}\n  {corpus.target}: {target}", flush=True)
    if folder:
        tokenizer = vocabulary(corpus, model.vocab_size, options.lowercase)
        encoded = training_pairs(corpus, tokenizer, folder, training.longest())
        print(f"{'train':18} {len(encoded):>10,} pairs")
        say(f"the training pairs are encoded in {folder}: annotated train uses them")


def shared_folder(corpus: Corpus, vocab_size: int, lowercase: bool) -> Path | None:
    """Where all runs find a large corpus encoded, with its vocabulary; None for any other."""
    if "train" in corpus.lists() or corpus.name == "files":
        return None
    name = f"{corpus.name}-{corpus.pair}-{vocab_size}" + "-lower" * lowercase
    return Path(pooch.os_cache("annotated")) / "prepared" / name


def vocabulary(corpus: Corpus, vocab_size: int, lowercase: bool) -> Tokenizer:
    """A vocabulary of both sides, of a large corpus from a sample; a shared one's is kept."""
    folder = shared_folder(corpus, vocab_size, lowercase)
    if folder and (folder / "tokenizer.json").exists():
        return Tokenizer.load(folder / "tokenizer.json")
    if "train" not in corpus.lists():
        say(f"choosing {SAMPLE:,} pairs at most to learn the vocabulary from")
    say(f"learning a vocabulary of {vocab_size:,} tokens")
    if are_trees(corpus):
        return TreeTokenizer.learn(corpus.splits["train"], vocab_size, lowercase)
    tokenizer = learn_vocabulary(corpus.splits["train"], vocab_size, lowercase)
    if folder:
        make(folder)
        tokenizer.save(folder / "tokenizer.json")
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
    state = workers.first(lambda: encode(corpus, tokenizer, place, longest))
    if run and not all_see(place, state):
        place = workers.first(lambda: copied(place, run / place.name))
        if not all_see(place, state):
            raise UserError(f"{place} is not seen by all machines: --out must be a shared folder")
    prepared = Prepared(place)
    say_left_out(prepared.state.left_out, prepared.state.read, longest)
    return prepared


def encode(corpus: Corpus, tokenizer: Tokenizer, place: Path, longest: int) -> State | None:
    """Encode the training pairs into a folder where they are not; text files may have changed."""
    if corpus.name == "files" or not is_prepared(place, tokenizer):
        say(f"encoding {corpus.name} into {place}; stopped, it goes on next time")
        prepare(corpus.splits["train"], tokenizer, place, longest)
    return read_state(place)


def all_see(place: Path, state: State | None) -> bool:
    """Whether every worker finds the same pairs there."""
    return not any(workers.agree(read_state(place) != state))


def validation_pairs(
    corpus: Corpus, tokenizer: Tokenizer, longest: int
) -> list[tuple[tuple[str, str], Encoded]]:
    """The validation pairs of no more than `longest` tokens, each as text and as ids."""
    pairs = list(corpus.splits["validation"])
    both = zip(pairs, encode_pairs(pairs, tokenizer), strict=True)
    kept = [(pair, ids) for pair, ids in both if longer_side(ids) <= longest]
    say_left_out(len(pairs) - len(kept), len(pairs), longest, "validation pairs")
    return kept


def say_left_out(left: int, count: int, longest: int, what: str = "training pairs") -> None:
    """Tell how many pairs were too long, if any; UserError where all were."""
    if left == count:
        none = f"none of {count:,} {what} has {longest} tokens or less"
        raise UserError(f"{none}: raise --max-tokens or --batch-tokens")
    if left:
        say(f"{left:,} of {count:,} {what} have more than {longest} tokens: left out")
