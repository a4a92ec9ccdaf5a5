# Tangled from chapters/translation/search.md: change it there, then run `make tangle`.
"""A line as a model can read it: in sentences, a long one in pieces (Section 6.1)."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sentencex import segment

from annotated.data.tokenizer import Tokenizer, checked, spaced


@dataclass(frozen=True)
class Seen:
    """What training saw on the source side: more than this is not translated at once."""

    longest: int = 256  # tokens of the longest source, EOS included
    language: str = "en"  # whose rules tell where a sentence ends

    @classmethod
    def by(cls, about: Mapping[str, Any], otherwise: int = 256) -> "Seen":
        """What is kept with a checkpoint says it; `otherwise` is for one that has no length."""
        language = about.get("pair", cls.language).split("-")[0]
        return cls(about.get("longest_source", otherwise), language)

    def within(self, room: int) -> "Seen":
        """No more than a model has room for, which is a number of tokens."""
        return replace(self, longest=min(self.longest, room))


def pieces(ids: list[int], longest: int, begins: Callable[[int], bool]) -> list[list[int]]:
    """Ids in pieces of 1 to `longest`, of like length, cut before an id that `begins` a word."""
    parts = []
    while len(ids) > longest:
        size = math.ceil(len(ids) / math.ceil(len(ids) / longest))
        words = (i for i in range(size // 2 + 1, longest + 1) if begins(ids[i]))
        cut = min(words, key=lambda i: abs(i - size), default=size)
        parts.append(ids[:cut])
        ids = ids[cut:]
    return [*parts, ids] if ids else parts


def divide(
    text: str, tokenizer: Tokenizer, longest: int = Seen.longest, language: str = Seen.language
) -> list[list[int]]:
    """The ids of each part of a line, without EOS: a sentence, or a piece of a long one.

    With EOS a part has at most `longest` tokens. A blank line has no part. `language`: two letters;
    one that the library does not know is read like English. Raises ValueError where `longest` is
    under 2, TokenizerError for a lone surrogate.
    """
    if longest < 2:
        raise ValueError(f"{longest} positions are too few for a source: lower extra")

    def begins(i: int) -> bool:
        return tokenizer.pieces([i])[0].startswith(" ")

    sentences = segment(language, spaced(checked(text)))
    encoded = (tokenizer.encode(spaced(sentence)) for sentence in sentences)
    return [part for ids in encoded for part in pieces(ids, longest - 1, begins)]


def join(texts: Iterable[str]) -> str:
    """The translations of a line's parts as one line."""
    return spaced(" ".join(texts))
