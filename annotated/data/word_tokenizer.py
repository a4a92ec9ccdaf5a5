# Tangled from chapters/reference/torchtext.md: change it there, then run `make tangle`.
"""Whole words as tokens: a torchtext vocabulary, or the words of a text (Section 5.1)."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from annotated.data.tokenizer import SPECIALS, Tokenizer, TokenizerError, checked
from annotated.files import write

FIRST = [*SPECIALS, "<unk>"]  # the words with the first ids
UNK = FIRST.index("<unk>")  # 3: any word that is not in the list

Split = Callable[[str], list[str]]  # a text -> its words; torchtext calls it a tokenizer
APART = str.maketrans({**{mark: f" {mark} " for mark in "'.,()!?"}, ";": " ", ":": " "})


def basic_english(text: str) -> list[str]:
    """The words of a text in lower case, as torchtext's "basic_english" cuts them."""
    return text.lower().replace('"', "").replace("<br />", " ").translate(APART).split()


SPLITS: dict[str, Split] = {"whitespace": str.split, "basic_english": basic_english}
TORCHTEXTS = {  # by the names of torchtext's functions
    "torchtext.data.utils._split_tokenizer": "whitespace",
    "torchtext.data.utils._basic_english_normalize": "basic_english",
}


def name_of(split: Split) -> str:
    """The name that a saved tokenizer knows a function by: a key of SPLITS, or module.function."""
    for name, known in SPLITS.items():
        if split is known:
            return name
    module = getattr(split, "__module__", "?")
    name = f"{module}.{getattr(split, '__qualname__', type(split).__qualname__)}"
    return TORCHTEXTS.get(name, name)


class WordList(Protocol):
    """What is asked of a vocabulary; torchtext.vocab.Vocab has it."""

    def get_itos(self) -> list[str]:
        """The words, in the order of their ids."""

    def get_default_index(self) -> int | None:
        """The id of a word that is not in the list."""


class WordTokenizer(Tokenizer):
    """Text to ids and back, word by word: a function that splits, and a list of words.

    The ids 0 to 3 are PAD, BOS, EOS and UNK, and `words` have the ids from 4. As in `Tokenizer`,
    `encode` never makes the first three. The words come back with one space between them, unknown
    ones as "<unk>", so a text comes back exactly only where splitting it loses nothing.
    """

    def __init__(self, words: Sequence[str], split: Split):
        self.words = [*FIRST, *words]
        self.split = split
        self.ids = {word: i for i, word in enumerate(words, start=len(FIRST))}
        if len({*self.words}) < len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise TokenizerError(f"the list of words has {twice!r} twice: leave one out")

    def __len__(self) -> int:
        """V, the number of ids, special ones included."""
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's words, UNK where a word is not in the list, without special ones."""
        return [self.ids.get(word, UNK) for word in self.split(checked(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """The words of ids, joined by spaces; PAD, BOS and EOS are skipped.

        Raises TokenizerError for an id outside the vocabulary.
        """
        return " ".join(self.words[i] for i in self.inside(ids) if i >= len(SPECIALS))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id's own word, special ones by name. TokenizerError for an id outside."""
        return [self.words[i] for i in self.inside(ids)]

    @classmethod
    def from_torchtext(
        cls, vocab: WordList, split: Split, specials: Iterable[str] = SPECIALS
    ) -> "WordTokenizer":
        """A torchtext vocabulary, with the function that splits text, as a tokenizer.

        `specials` are the vocabulary's own names for padding, beginning and end: these ids are the
        package's. The word at its default index becomes "<unk>". The other words keep their order.
        """
        words, unknown = vocab.get_itos(), vocab.get_default_index()
        special = {*FIRST, *specials}
        if unknown is not None and 0 <= unknown < len(words):
            special.add(words[unknown])
        return cls([word for word in words if word not in special], split)

    @classmethod
    def train(
        cls, lines: Iterable[str], vocab_size: int, lowercase: bool = False
    ) -> "WordTokenizer":
        """The words of lines, the most frequent first, equals by the alphabet: `vocab_size` ids.

        `lowercase` splits by basic_english; otherwise the words are what white space parts. There
        are fewer ids where there are fewer words. Raises TokenizerError for a size under 5.
        """
        if vocab_size <= len(FIRST):
            raise TokenizerError(f"a vocabulary has {len(FIRST) + 1} ids or more, not {vocab_size}")
        split: Split = basic_english if lowercase else str.split
        counts = Counter(word for line in lines for word in split(checked(line)))
        words = sorted(counts.keys() - FIRST, key=lambda word: (-counts[word], word))
        return cls(words[: vocab_size - len(FIRST)], split)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON file, whole or not at all: the words, and the name of what splits."""
        content = {"kind": KIND, "split": name_of(self.split), "words": self.words[len(FIRST) :]}
        write(path, json.dumps(content, ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, path: str | os.PathLike[str], split: Split | None = None) -> "WordTokenizer":
        """Read what `save` wrote, with the function that split; SPLITS are known by name.

        Raises TokenizerError where the file holds something else, or the function is not known.
        """
        content = read_words(path)
        if content is None:
            raise TokenizerError(f"{path} is missing, damaged or no list of words")
        split = split or SPLITS.get(content["split"])
        if split is None:
            raise TokenizerError(
                f"{path} needs the function {content['split']}, which splits text into its words: "
                "hand it to WordTokenizer.load(path, split)"
            )
        return cls(content["words"], split)


KIND = "annotated.words 1"  # what a file of ours says it is


def read_words(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `WordTokenizer.save` wrote; None where the file holds something else, or nothing."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        return None
    words = content.get("words")
    if not isinstance(content.get("split"), str) or not isinstance(words, list):
        return None
    return content if all(isinstance(word, str) for word in words) else None


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer in a file, of whichever of the two kinds. Raises TokenizerError."""
    return Tokenizer.load(path) if read_words(path) is None else WordTokenizer.load(path)
