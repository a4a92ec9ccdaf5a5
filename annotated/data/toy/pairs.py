"""The toy language: a generated fragment of English and German, exactly known (Section 5.1).

A sentence is first made as abstract syntax, then spelled out twice: as an English tree and as
German words. Every word carries the concepts that it expresses, so the gold alignment is known.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cache

from annotated.data.toy.english import COMMA, english_clause
from annotated.data.toy.german import german_clause, tidied
from annotated.data.toy.lexicon import WORLD
from annotated.data.toy.sentences import clauses, walk
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


# %%
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


# %%
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


# %%
HELD_OUT = frozenset(WORLD["held_out"])


def combinations(clause: Clause) -> set[str]:
    """All "adjective noun" and "verb object" of a sentence."""
    found = set()
    for part, phrase in walk(clause):
        if phrase.referent.noun:
            noun = phrase.referent.noun.english[0]
            described = [phrase.adjective, part.adjective if phrase is part.subject else None]
            found |= {f"{adjective.english} {noun}" for adjective in described if adjective}
            found |= {f"{part.verb.name} {noun}"} if phrase in part.objects else set()
    return found


# %%
def generate(
    count: int,
    seed: int = 1,
    shortest: int = 3,
    longest: int = 16,
    unseen: bool = False,
    rich: int = 1,
    words: Container[str] | None = None,
) -> list[Pair]:
    """`count` different pairs, `shortest` to `longest` English words long.

    `unseen` asks for at least one held-out combination in each (else there is none), more `rich`
    grammar makes longer sentences, and `words` limits the vocabulary of both sides. Raises
    ValueError for lengths that the grammar does not have, or where no such sentence turns up.
    """
    if not 3 <= shortest <= longest <= 25:
        raise ValueError(f"sentences have 3 to 25 words, not {shortest} to {longest}")
    found: dict[tuple[str, ...], Pair] = {}
    made, failures = clauses(seed, rich), 0
    while len(found) < count and failures < PATIENCE:
        clause, failures = next(made), failures + 1
        if bool(combinations(clause) & HELD_OUT) == unseen:
            pair = spell(clause)
            fits = shortest <= pair.length <= longest and pair.source not in found
            if fits and (words is None or all(w in words for w in pair.source + pair.target)):
                found[pair.source], failures = pair, 0
    if len(found) < count:
        raise ValueError(f"found {len(found)} such sentences, and no more in {PATIENCE} tries")
    return list(found.values())


PATIENCE = 3000


# %%
@cache
def splits(
    seed: int = 1,
    train: int = 20_000,
    validation: int = 500,
    test: int = 500,
    test_longer: int = 300,
    test_unseen: int = 300,
) -> dict[str, list[Pair]]:
    """The data sets, by name; no English sentence is in two of them. Made once, then shared.

    `test` is like `train`. `test_longer` has 17 to 25 words where training stops at 16.
    `test_unseen` combines words as training never does, though each of its words is in `train`.
    """
    pairs = generate(train + validation + test, seed)
    middle = train + validation
    words = {word for pair in pairs[:train] for word in pair.source + pair.target}
    return {
        "train": pairs[:train],
        "validation": pairs[train:middle],
        "test": pairs[middle:],
        "test_longer": generate(test_longer, seed + 1, 17, 25, rich=4, words=words),
        "test_unseen": generate(test_unseen, seed + 2, unseen=True, words=words),
    }
