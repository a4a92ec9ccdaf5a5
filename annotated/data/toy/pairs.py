# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""Pairs of sentences, and all that is known about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from annotated.data.toy.english import COMMA, english_clause
from annotated.data.toy.german import german_clause, tidied
from annotated.data.toy.syntax import Clause, Key, Phrase, Word, leaf, tree, word

Links = tuple[tuple[int, int], ...]
PUNCTUATION = (COMMA, ".")


@dataclass(frozen=True)
class Pair:
    """A sentence in English (source) and in German (target), and all that is known about it.

    `alignment` links the index of a source word to that of a target word; a word may have many.
    `antecedents` links a pronoun of the target to the noun it stands for, `source_antecedents`
    one of the source: personal, possessive and relative ones. `tree` is the English sentence's
    constituency tree in Penn brackets; its leaves are the words of `source`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: Links
    antecedents: Links
    source_antecedents: Links
    tree: str

    @property
    def english(self) -> str:
        return as_text(self.source)

    @property
    def german(self) -> str:
        return as_text(self.target)

    @property
    def length(self) -> int:
        """The number of English words; punctuation does not count."""
        return sum(word not in PUNCTUATION for word in self.source)


def as_text(words: Sequence[str]) -> str:
    """The words in a line, punctuation attached to the word before it."""
    return "".join(w if w in PUNCTUATION else " " + w for w in words).strip()


def spell(clause: Clause) -> Pair:
    """Spells a main clause in both languages, and reads off everything that is known."""
    stop = (clause, "stop")
    sentence = tree("S", *english_clause(clause).children, leaf(".", ".", stop))
    english = capitalized(sentence.leaves())
    german = capitalized([*tidied(german_clause(clause)), word(".", stop)])
    here, there = positions(english), positions(german)
    return Pair(
        source=tuple(word.text for word in english),
        target=tuple(word.text for word in german),
        alignment=links(here, there),
        antecedents=references(there),
        source_antecedents=references(here),
        tree=sentence.bracketed(iter([word.text for word in english])),
    )


def capitalized(words: list[Word]) -> list[Word]:
    first = words[0]
    return [first._replace(text=first.text[0].upper() + first.text[1:]), *words[1:]]


def positions(words: list[Word]) -> dict[Key, list[int]]:
    """Where each concept is expressed."""
    places: dict[Key, list[int]] = {}
    for i, (_, keys) in enumerate(words):
        for key in keys:
            places.setdefault(key, []).append(i)
    return places


def links(english: dict[Key, list[int]], german: dict[Key, list[int]]) -> Links:
    """The pairs of positions whose words express a common concept."""
    shared = english.keys() & german.keys()
    return tuple(sorted({(i, j) for key in shared for i in english[key] for j in german[key]}))


def references(places: dict[Key, list[int]]) -> Links:
    """(position of a pronoun, position of the noun that it stands for) in one language."""
    found = []
    for (node, part), (place, *_) in places.items():
        if isinstance(node, Phrase):
            whole = {"noun": node.antecedent, "determiner": node.owner}.get(part)
            nouns = [whole.referent, whole.referent.conjunct] if whole else []
            found += [(place, places[noun, "noun"][0]) for noun in nouns if noun and noun.noun]
    return tuple(sorted(found))
