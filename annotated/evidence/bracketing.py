# Tangled from chapters/evidence/trees.md: change it there, then run `make tangle`.
"""Labelled brackets, counted by the rules of EVALB with Collins's parameters (Section 6.3)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate, compress

from annotated.evidence.trees import Tree, bare

PUNCTUATION = frozenset([",", ":", "``", "''", "."])  # tags whose words are taken out
NOT_COUNTED = {"TOP", ""}  # labels of a root


@dataclass(frozen=True)
class Brackets:
    """Counts over sentences, and the percentages that follow from them."""

    sentences: int = 0
    errors: int = 0  # sentences whose words differ: they count nowhere else
    gold: int = 0  # brackets
    found: int = 0
    matched: int = 0
    exact: int = 0  # sentences with the same brackets
    words: int = 0
    tagged: int = 0  # words with the right tag

    def __add__(self, other: "Brackets") -> "Brackets":
        return Brackets(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def recall(self) -> float:
        return percent(self.matched, self.gold)

    @property
    def precision(self) -> float:
        return percent(self.matched, self.found)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, of all brackets together."""
        return percent(2 * self.matched, self.gold + self.found)

    @property
    def complete(self) -> float:
        return percent(self.exact, self.sentences - self.errors)

    @property
    def tagging(self) -> float:
        return percent(self.tagged, self.words)


def percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def counted(tree: Tree, kept: Sequence[bool]) -> Counter[tuple[str, int, int]]:
    """Its brackets as (label, start, end), places counted among the words that are kept."""
    place = [0, *accumulate(kept)]
    spans = ((bare(label), place[start], place[end]) for label, start, end in tree.spans())
    return Counter(
        ("ADVP" if label == "PRT" else label, start, end)
        for label, start, end in spans
        if start < end and label not in NOT_COUNTED
    )


def compare(gold: Tree, parsed: Tree, strict: bool = False) -> Brackets:
    """The counts of one sentence; punctuation is what gold tags as such.

    `strict` is EVALB to the letter: each tree takes out what it tags as punctuation itself, and
    the sentence is an error where that leaves different words.
    """
    trees = gold, parsed
    tags = [tree.tags() for tree in trees]
    kept = [[tag not in PUNCTUATION for tag in (own if strict else tags[0])] for own in tags]
    words = [tree.leaves() for tree in trees]
    if strict:
        words = [list(compress(*each)) for each in zip(words, kept, strict=True)]
    if words[0] != words[1]:
        return Brackets(1, errors=1)
    ours, theirs = map(counted, trees, kept)
    left = zip(*map(compress, tags, kept), strict=True)
    return Brackets(
        sentences=1,
        gold=ours.total(),
        found=theirs.total(),
        matched=(ours & theirs).total(),
        exact=int(ours == theirs),
        words=sum(kept[0]),
        tagged=sum(one == other for one, other in left),
    )


def score(gold: Sequence[Tree], parsed: Sequence[Tree], strict: bool = False) -> Brackets:
    """The counts of all sentences. Raises ValueError where there are not as many of both."""
    if len(gold) != len(parsed):
        raise ValueError(f"there are {len(gold)} gold trees and {len(parsed)} parsed ones")
    pairs = zip(gold, parsed, strict=True)
    return sum((compare(*pair, strict) for pair in pairs), Brackets())
