# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""As many pairs as are asked for, and the data sets that the book trains and tests on."""

from collections.abc import Container
from functools import cache

from annotated.data.toy.lexicon import WORLD
from annotated.data.toy.pairs import Pair, spell
from annotated.data.toy.sentences import clauses, walk
from annotated.data.toy.syntax import Clause

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
