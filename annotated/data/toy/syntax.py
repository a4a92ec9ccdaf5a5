# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""What a sentence says, in no language yet (its abstract syntax); words and trees that say it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from annotated.data.toy.lexicon import Adjective, Adverbial, Kinds, Noun, Verb

PRONOUNS = {  # as an object, and as a possessive
    "I": ("me", "my"), "we": ("us", "our"), "he": ("him", "his"), "she": ("her", "her"),
    "it": ("it", "its"), "they": ("them", "their"),
}  # fmt: skip
PERSON = frozenset(["person"])
COUNTED = ("two", "three", "many")
DISTRIBUTIVE = ("every", *COUNTED)
INDEFINITE = ("a", *DISTRIBUTIVE)
DEFINITE = ("the", "this", "these", "every", "my", "our", "own")


@dataclass(eq=False)
class Phrase:
    """A noun phrase: a noun with what stands around it, or a pronoun."""

    noun: Noun | None = None
    plural: bool = False
    determiner: str = "the"  # "own" for the possessive of the `owner`, "" for none
    adjective: Adjective | None = None
    relative: "Clause | None" = None
    conjunct: "Phrase | None" = None  # Anna and Peter
    pronoun: str = ""  # one of PRONOUNS; "relative"; or "elided", a subject that is not said again
    antecedent: "Phrase | None" = None  # of a pronoun
    owner: "Phrase | None" = None

    @property
    def referent(self) -> "Phrase":
        """What a pronoun stands for in the end."""
        return self.antecedent.referent if self.antecedent else self

    @property
    def kinds(self) -> Kinds:
        """What it means, as far as the grammar cares; I and we are persons."""
        noun = self.referent.noun
        return noun.kinds if noun else PERSON

    def is_a(self, kind: str) -> bool:
        return kind in self.kinds

    @property
    def number(self) -> int:
        """0 singular, 1 plural."""
        if self.antecedent and self.pronoun in ("relative", "elided"):
            return self.antecedent.number
        return int(self.plural or bool(self.conjunct) or self.pronoun in ("we", "they"))

    @property
    def gender(self) -> str:
        """The German gender: "m", "f", "n", or "p" in the plural."""
        noun = self.referent.noun
        if self.number:
            return "p"
        return noun.gender if noun else "f" if self.pronoun == "she" else "m"

    @property
    def agreement(self) -> int:
        """The form of its verb: 0 with I, 1 with he, she and it, 2 with all others."""
        return 2 if self.number else 0 if self.referent.pronoun == "I" else 1

    @property
    def definite(self) -> bool:
        return bool(self.pronoun) or self.determiner in DEFINITE or self.is_name

    @property
    def is_name(self) -> bool:
        return self.noun is not None and "name" in self.noun.kinds


def pronoun_for(phrase: Phrase) -> str:
    """The English pronoun that stands for a phrase."""
    if phrase.pronoun in PRONOUNS:
        return phrase.pronoun
    if phrase.number:
        return "they"
    if not phrase.is_a("person") or phrase.is_a("child"):
        return "it"
    return "he" if phrase.gender == "m" else "she"


@dataclass(eq=False)
class Clause:
    """Who does what to whom, when and where; perhaps with another clause."""

    subject: Phrase
    verb: Verb
    objects: list[Phrase] = field(default_factory=list)  # one for each of the verb's
    adjective: Adjective | None = None  # the dog is tired
    tense: str = "present"  # "present", "progressive", "past", or a modal verb
    negated: bool = False
    time: Adverbial | None = None
    place: Phrase | None = None
    fronted: bool = False  # the time comes first
    conjunction: str = ""  # "because", "that", "and" ...
    joined: "Clause | None" = None  # the clause after the conjunction
    joined_first: bool = False  # it stands before this one

    @property
    def marked(self) -> list[tuple[Phrase, str]]:
        """Each object and how German marks it: "acc", "dat", "auf_acc", "to" ..."""
        marks = [mark for mark, _ in self.verb.objects]
        return list(zip(self.objects, marks, strict=True))

    @property
    def absent(self) -> Phrase | None:
        """The indefinite object that a negation turns into one with kein."""
        direct = [phrase for phrase, mark in self.marked if mark == "acc" and not phrase.definite]
        return direct[0] if self.negated and direct else None


Key = tuple[object, str]  # a node of the syntax and its part: (phrase, "noun")


class Word(NamedTuple):
    """A word of either language, and the concepts that it expresses."""

    text: str
    keys: tuple[Key, ...] = ()


class Tree(NamedTuple):
    """A constituent, or a part of speech over its word."""

    label: str
    children: "tuple[Tree | Word, ...]"

    def leaves(self) -> list[Word]:
        """The words below, from left to right."""
        parts = [[child] if isinstance(child, Word) else child.leaves() for child in self.children]
        return [word for part in parts for word in part]

    def bracketed(self, words: Iterator[str]) -> str:
        """Penn brackets, with the next of the `words` at each leaf."""
        parts = [next(words) if isinstance(c, Word) else c.bracketed(words) for c in self.children]
        return f"({self.label} {' '.join(parts)})"


def word(text: str, *keys: Key) -> Word:
    return Word(text, keys)


def leaf(tag: str, text: str, *keys: Key) -> Tree:
    return Tree(tag, (Word(text, keys),))


def tree(label: str, *children: Tree | Word | None) -> Tree:
    return Tree(label, tuple([child for child in children if child is not None]))
