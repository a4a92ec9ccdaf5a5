"""The exercises of Section 5.1: the toy language, batches."""

from itertools import takewhile

from annotated.data.tokenizer import BOS, EOS, PAD
from annotated.exercises.checker import Exercise, predicted

Links = list[tuple[int, int]]  # from a word's index to another's


def in_order(alignment: Links) -> bool:
    """Whether the targets ascend, sorted by their sources; equals may stand side by side."""
    targets = [j for _, j in sorted(alignment)]
    return targets == sorted(targets)


def text_ids(row: list[int]) -> list[int]:
    """The ids before the first EOS."""
    return list(takewhile(lambda i: i != EOS, row))


def padding_share(lengths: list[int]) -> float:
    """The share of a batch's positions that are pads; lengths of its sentences."""
    return 1 - sum(lengths) / (len(lengths) * max(lengths))


EXERCISES = {
    "toy-predict": predicted(
        [
            "Gestern hat der alte Mann das Fenster zugemacht.",
            "Anna sagt, dass der alte Mann das Fenster zugemacht hat.",
        ],
        {
            "The verb comes second (rule 3): it follows the time at once.": [
                "Gestern der alte Mann hat das Fenster zugemacht.",
                "Anna sagt, dass der alte Mann das Fenster zugemacht hat.",
            ],
            "In a clause with dass all verbs come last, hat at the very end (rule 6).": [
                "Gestern hat der alte Mann das Fenster zugemacht.",
                "Anna sagt, dass der alte Mann hat das Fenster zugemacht.",
            ],
            "The participle closes the first clause (rule 5).": [
                "Gestern hat der alte Mann zugemacht das Fenster.",
                "Anna sagt, dass der alte Mann das Fenster zugemacht hat.",
            ],
        },
    ),
    "toy-diagonal": Exercise(
        in_order,
        lambda: [
            ([(0, 0), (1, 2), (2, 3)],),
            ([(0, 0), (1, 2), (2, 1)],),
            ([(0, 0), (2, 2), (4, 2)],),
            ([(1, 1), (0, 0)],),
            ([(4, 2), (0, 0), (2, 2)],),
        ],
        {
            "A word may stand at another place and still in the same order.": (
                lambda alignment: all(i == j for i, j in alignment)
            ),
            "Two words may answer to one: equal targets are in order.": (
                lambda alignment: (
                    in_order(alignment) and len({j for _, j in alignment}) == len(alignment)
                )
            ),
            "Sort the links by their sources first.": (
                lambda alignment: [j for _, j in alignment] == sorted(j for _, j in alignment)
            ),
            "The sources ascend once they are sorted; look at the targets.": lambda alignment: True,
        },
    ),
    "toy-distance": Exercise(
        lambda antecedents: [i - j for i, j in antecedents],
        lambda: [([(6, 1)],), ([(4, 2), (9, 4)],), ([],)],
        {
            "The pronoun comes first in a link: i less j.": (
                lambda antecedents: [j - i for i, j in antecedents]
            ),
            "That counts the words in between: a neighbor has distance 1.": (
                lambda antecedents: [i - j - 1 for i, j in antecedents]
            ),
            "That is the longest; all of them are asked for.": (
                lambda antecedents: max((i - j for i, j in antecedents), default=0)
            ),
        },
    ),
    "data-1": predicted(
        [("u", "n", 9), ("s", "un", 5), ("b", "un", 2)],
        {
            "Of two that are equally frequent the older wins: b before g.": [
                ("u", "n", 9),
                ("s", "un", 5),
                ("g", "un", 2),
            ],
            "That counts each word once: a pair counts as often as its word occurs.": [
                ("u", "n", 4),
                ("s", "un", 2),
                ("b", "un", 1),
            ],
            "suns holds s un, too.": [("u", "n", 9), ("s", "un", 4), ("b", "un", 2)],
        },
    ),
    "data-6": Exercise(
        text_ids,
        lambda: [
            ([7, 8, EOS, PAD, PAD],),
            ([7, EOS, 9, 9],),
            ([7, 8, 9],),
            ([EOS, PAD],),
            ([7, EOS, 8, EOS],),
        ],
        {
            "EOS itself is no part of the text.": (
                lambda row: row[: row.index(EOS) + 1] if EOS in row else row
            ),
            "What stands behind EOS does not belong to the text, whatever it is.": (
                lambda row: [i for i in row if i not in (PAD, BOS, EOS)]
            ),
            "The text ends at EOS, not at the padding.": (
                lambda row: list(takewhile(lambda i: i != PAD, row))
            ),
            "A row may have no EOS: it was cut off at the longest length.": (
                lambda row: row[: row.index(EOS)]
            ),
            "Without an EOS all of the row is text.": (
                lambda row: text_ids(row) if EOS in row else []
            ),
            "The text ends at the first EOS, not at the last.": (
                lambda row: row[: len(row) - 1 - row[::-1].index(EOS)] if EOS in row else row
            ),
            "The row holds what was written: its first id is text, not BOS.": (
                lambda row: text_ids(row)[1:]
            ),
        },
    ),
    "data-7": Exercise(
        padding_share,
        lambda: [([4, 2, 3],), ([5, 5],), ([1, 9, 2, 3],)],
        {
            "That is the share of the tokens: the pads are the rest.": (
                lambda lengths: 1 - padding_share(lengths)
            ),
            "Divide by all positions, pads included, not by the tokens.": (
                lambda lengths: len(lengths) * max(lengths) / sum(lengths) - 1
            ),
            "That is how many pads there are, not their share.": (
                lambda lengths: len(lengths) * max(lengths) - sum(lengths)
            ),
        },
    ),
}
