# Tangled from chapters/data/batches.md: change it there, then run `make tangle`.
"""One vocabulary of subwords for both languages: byte-level BPE (Section 5.1)."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from annotated.files import write

PAD, BOS, EOS = 0, 1, 2  # the ids that no text is ever encoded to
SPECIALS = ["<pad>", "<bos>", "<eos>"]
SMALLEST = len(SPECIALS) + 256  # a vocabulary without any merge
WORD = r" ?\p{L}+(?:-\p{L}+)*| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class TokenizerError(ValueError):
    """A text, a size or a file that cannot be used: one sentence that says why."""


def checked(text: str) -> str:
    """The text itself; TokenizerError where it holds half of a surrogate pair, which is no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(
            f"the text holds a lone surrogate (U+{code:04X} at index {error.start}), "
            "which UTF-8 cannot write: read the text with the right encoding"
        ) from None
    return text


def spaced(text: str) -> str:
    """The text with one space for each run of white space, none at its ends, no byte order mark."""
    return " ".join(text.lstrip("\ufeff").split())


def learn_merges(lines: Iterable[str], vocab_size: int, lowercase: bool) -> tokenizers.Tokenizer:
    """A byte-level BPE with `vocab_size` ids, or fewer where no pair occurs twice any more."""
    bpe = tokenizers.Tokenizer(models.BPE())
    space = normalizers.Prepend(" ")  # a word is the same wherever it stands
    bpe.normalizer = normalizers.Sequence([space, *[normalizers.Lowercase()] * lowercase])
    words = pre_tokenizers.Split(Regex(WORD), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    bpe.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(map(checked, lines), trainer)
    return bpe


def is_ours(bpe: tokenizers.Tokenizer) -> bool:
    """Whether a vocabulary is a byte-level BPE with our special ids and every byte."""
    ids = bpe.get_vocab()
    return (
        isinstance(bpe.model, models.BPE)
        and isinstance(bpe.pre_tokenizer, (pre_tokenizers.ByteLevel, pre_tokenizers.Sequence))
        and isinstance(bpe.decoder, (decoders.ByteLevel, decoders.Sequence))
        and [ids.get(special) for special in SPECIALS] == [PAD, BOS, EOS]
        and all(byte in ids for byte in pre_tokenizers.ByteLevel.alphabet())
    )


def read_bpe(path: str | os.PathLike[str]) -> tokenizers.Tokenizer:
    """What the file holds. TokenizerError where it is missing, damaged or another program's."""
    try:
        bpe = tokenizers.Tokenizer.from_str(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing: there is no vocabulary") from None
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(f"{path} is damaged or no vocabulary ({error})") from None
    if not is_ours(bpe):
        raise TokenizerError(f"{path} is a vocabulary of another kind: train one for this book")
    return bpe


class Tokenizer:
    """Text to ids and back, exactly, by byte-level BPE.

    The ids 0, 1 and 2 are PAD, BOS and EOS. `encode` never makes them, not even of a text that
    reads "<pad>"; who needs them puts them there.
    """

    def __init__(self, bpe: tokenizers.Tokenizer):
        bpe.encode_special_tokens = True  # "<pad>" in a text is five characters
        self.bpe = bpe

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy does not take "<pad>" for padding either: the library's own forgets that."""
        self.__dict__.update(state)
        if "bpe" in state:
            self.bpe.encode_special_tokens = True

    def __len__(self) -> int:
        """V, the number of ids, special ones included."""
        return self.bpe.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special ones. TokenizerError for a lone surrogate."""
        return self.bpe.encode(checked(text)).ids

    def encode_pair(self, source: str, target: str) -> tuple[list[int], list[int]]:
        """The ids of a source and its target, without special ones; here both are text."""
        return self.encode(source), self.encode(target)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special ones are skipped, bytes that are no UTF-8 become U+FFFD.

        Raises TokenizerError for an id outside the vocabulary.
        """
        return self.bpe.decode(self.inside(ids), skip_special_tokens=True)

    def inside(self, ids: Iterable[int]) -> list[int]:
        """The ids themselves. TokenizerError where one is outside the vocabulary."""
        ids, size = list(ids), len(self)
        for i in ids:
            if not 0 <= i < size:
                raise TokenizerError(f"id {i} is outside the vocabulary of {size}")
        return ids

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id's own text, space and all, special ones by name: for people to look at.

        Raises TokenizerError for an id outside the vocabulary.
        """
        own = decoders.ByteLevel()
        names = [self.bpe.id_to_token(i) or "" for i in self.inside(ids)]
        return [name if name in SPECIALS else own.decode([name]) for name in names]

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int, lowercase: bool = False) -> "Tokenizer":
        """Learn merges from lines until there are `vocab_size` ids, or no pair occurs twice.

        The lines are read once, from any iterable; their words are counted, no line is kept. The
        same lines give the same vocabulary. `lowercase` makes each character lower-case first.
        Raises TokenizerError for a size under 259 (256 bytes and three special ids).
        """
        if vocab_size < SMALLEST:
            raise TokenizerError(f"a vocabulary has {SMALLEST} ids or more, not {vocab_size}")
        return cls(learn_merges(lines, vocab_size, lowercase))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON file, in the library's own format, whole or not at all."""
        write(path, self.bpe.to_str(pretty=True))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Read what `save` wrote; TokenizerError where that is not what the file holds."""
        return cls(read_bpe(path))
