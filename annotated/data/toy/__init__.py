"""The toy language: a generated fragment of English and German, exactly known (Section 5.1).

A sentence is first made as abstract syntax, then spelled out twice: as an English tree and as
German words. Every word carries the concepts that it expresses, so the gold alignment is known.
"""

from annotated.data.toy.datasets import HELD_OUT, generate, splits
from annotated.data.toy.lexicon import ADJECTIVES, ADVERBIALS, NOUNS, VERBS
from annotated.data.toy.pairs import Pair, spell
from annotated.data.toy.sentences import clauses
from annotated.data.toy.syntax import Clause, Phrase

__all__ = [
    "ADJECTIVES", "ADVERBIALS", "HELD_OUT", "NOUNS", "VERBS",
    "Clause", "Pair", "Phrase", "clauses", "generate", "spell", "splits",
]  # fmt: skip
