"""The toy language: a generated fragment of English and German, exactly known (Section 5.1)."""

from annotated.data.toy.lexicon import ADJECTIVES, ADVERBIALS, NOUNS, VERBS
from annotated.data.toy.pairs import HELD_OUT, Pair, generate, spell, splits
from annotated.data.toy.sentences import clauses
from annotated.data.toy.syntax import Clause, Phrase

__all__ = [
    "ADJECTIVES", "ADVERBIALS", "HELD_OUT", "NOUNS", "VERBS",
    "Clause", "Pair", "Phrase", "clauses", "generate", "spell", "splits",
]  # fmt: skip
