# Tangled from chapters/translation/search.md: change it there, then run `make tangle`.
"""What a search looks for, and how what it finds is ranked and joined (Section 6.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annotated.data.tokenizer import Tokenizer
from annotated.ranges import Count, Power, Whole, check_ranges
from annotated.translation.sentences import Seen, divide, join


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha, which divides a log-probability (Wu et al. 2016, equation 14)."""
    return ((5 + length) / 6) ** alpha


@dataclass(frozen=True)
class SearchConfig:
    """How to search for a translation; the defaults are the paper's (Section 6.1)."""

    beam: Count = 4  # k, hypotheses at a time; 1 is greedy
    alpha: Power = 0.6  # how much the score forgives length; 0 is not at all
    extra: Whole = 50  # tokens that a translation may have beyond its source's

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation."""

    ids: list[int]  # without BOS and EOS
    log_probability: float  # of its ids, and of EOS where it was written, in nats
    score: float  # log_probability / length_penalty


def joined(tokenizer: Tokenizer, parts: list[list[Hypothesis]]) -> list[tuple[str, float]]:
    """The translations of all parts of a line as those of the whole: text and score."""
    whole = zip(*parts, strict=False) if parts else [()]
    return [
        (join(tokenizer.decode(one.ids) for one in ones), sum(one.score for one in ones))
        for ones in whole
    ]


@dataclass(frozen=True)
class Translator:
    """Lines in, translations out, whoever searches."""

    tokenizer: Tokenizer
    seen: Seen  # by training, and no more than there is room for
    search: Callable[[list[list[int]], int], list[list[Hypothesis]]]  # ids, n -> the n best of each

    def divide(self, line: str) -> list[list[int]]:
        """The ids of each part of a line."""
        return divide(line, self.tokenizer, self.seen.longest, self.seen.language)

    def candidates(self, lines: Sequence[str], n_best: int = 1) -> list[list[tuple[str, float]]]:
        """The `n_best` best translations of each line and their scores, best first, in order.

        The i-th candidate of a line joins the i-th best of each part, and has the sum of their
        scores. A blank line gives an empty text.
        """
        parts = [self.divide(line) for line in lines]
        found = iter(self.search([ids for each in parts for ids in each], n_best))
        return [joined(self.tokenizer, [next(found) for _ in each]) for each in parts]

    def translate(self, lines: Sequence[str]) -> list[str]:
        """The best translation of each line, in order."""
        return [best for (best, _), *_ in self.candidates(lines)]
