"""The exercises of Section 6.1: scores, search, results."""

import torch
from torch import Tensor

from annotated.exercises.checker import Exercise, predicted
from annotated.translation.hypotheses import length_penalty
from annotated.translation.scores import average

Sentence = list[str]  # of words


def ngrams(words: Sentence, n: int) -> list[tuple[str, ...]]:
    """All n words in a row."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def matches(output: Sentence, references: list[Sentence], n: int, among=max) -> int:
    """N-grams of the output that a reference has, each as often as the one that has it most."""
    ours, theirs = ngrams(output, n), [ngrams(each, n) for each in references]
    counts = {gram: among(each.count(gram) for each in theirs) for gram in set(ours)}
    return sum(min(ours.count(gram), count) for gram, count in counts.items())


def matches_of_any(output: Sentence, references: list[Sentence], n: int) -> int:
    """The mistake of counting without a limit."""
    known = {gram for each in references for gram in ngrams(each, n)}
    return sum(gram in known for gram in ngrams(output, n))


def matches_of_letters(output: Sentence, references: list[Sentence], n: int) -> int:
    """The mistake of counting in the references' texts."""
    ours, theirs = ngrams(output, n), [" ".join(each) for each in references]
    counts = {gram: max(each.count(" ".join(gram)) for each in theirs) for gram in set(ours)}
    return sum(min(ours.count(gram), count) for gram, count in counts.items())


def bound(log_probability: float, length: int, longest: int, alpha: float) -> float:
    """The best score that a hypothesis of so many tokens can still have, EOS counted."""
    return max(log_probability / length_penalty(n, alpha) for n in range(length + 1, longest + 1))


def continuations(total: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """total (k,), log_p (k, V) -> of the best k: which hypothesis (k,), by which token (k,)"""
    return of_the_best(total[:, None] + log_p, log_p.size(1))


def of_the_best(sums: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Of sums (k, V) the best k, their places divided by a width."""
    best = sums.flatten().topk(len(sums)).indices
    return best // width, best % width


def swapped(total: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """The mistake of taking the quotient for the token."""
    parent, token = continuations(total, log_p)
    return token, parent


def fractions(total: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """The mistake of dividing with /."""
    parent, token = continuations(total, log_p)
    return parent + token / log_p.size(1), token


def beam() -> tuple[Tensor, Tensor]:
    """Four hypotheses, the first far ahead, and their next words out of six."""
    return torch.tensor([-1.0, -3.0, -3.5, -4.0]), (2 * torch.randn(4, 6)).log_softmax(-1)


THE_CAT = "the cat sat on the mat".split()
REFERENCES = ["the cat is on the mat".split(), "there is a cat on the mat".split()]

EXERCISES = {
    "scores-4": Exercise(
        matches,
        lambda: [
            ("the the the the cat".split(), REFERENCES, 1),
            (THE_CAT, REFERENCES, 2),
            ("a cat is there".split(), REFERENCES, 1),
            ("the the mat".split(), REFERENCES[1:], 1),
            ("the the on there".split(), REFERENCES, 1),
        ],
        {
            "No limit: an n-gram counts at most as often as a reference has it.": matches_of_any,
            "The references' counts are not added up: the largest is the limit.": (
                lambda output, references, n: matches(output, references, n, sum)
            ),
            "A single reference is enough for an n-gram to count, it need not be in all.": (
                lambda output, references, n: matches(output, references, n, min)
            ),
            "Each n-gram has its own reference; you took a single one for all of them.": (
                lambda output, references, n: max(matches(output, [r], n) for r in references)
            ),
            "Only the first reference was looked at.": (
                lambda output, references, n: matches(output, references[:1], n)
            ),
            "Compare words, not letters: there is a 'the' in 'there'.": matches_of_letters,
            "An n-gram that comes twice in both counts twice.": (
                lambda output, references, n: matches_of_any(
                    list(dict.fromkeys(output)), references, n
                )
            ),
        },
    ),
    "scores-5": Exercise(
        lambda mean, new, n: average([{"w": mean}] * n + [{"w": new}])["w"],
        lambda: [(torch.randn(3), torch.randn(3), n) for n in (4, 1, 19)],
        {
            "The mean stands for n checkpoints and weighs n times as much as the new one.": (
                lambda mean, new, n: (mean + new) / 2
            ),
            "There are n + 1 of them now: divide by that.": (
                lambda mean, new, n: (n * mean + new) / n
            ),
            "The new one is the (n + 1)-th: it moves the mean by one part in n + 1, not in n.": (
                lambda mean, new, n: mean + (new - mean) / n
            ),
            "That is the sum; divide it.": lambda mean, new, n: n * mean + new,
        },
    ),
    "translation-2": predicted(
        [1_474_560, 3_686_400],
        {
            "A position keeps a key and a value.": [737_280, 1_843_200],
            "Each of the six layers keeps keys and values of its own.": [245_760, 614_400],
            "The hypotheses of a beam share the source's keys and values.": [1_474_560, 5_898_240],
            "A number in single precision takes four bytes.": [368_640, 921_600],
        },
    ),
    "translation-3": Exercise(
        bound,
        lambda: [(-4.0, 4, 60, 0.6), (-4.0, 4, 60, -0.6), (-2.5, 10, 12, 1.0)],
        {
            "With a negative alpha the largest penalty is that of the shortest translation.": (
                lambda log_probability, length, longest, alpha: (
                    log_probability / length_penalty(longest, alpha)
                )
            ),
            "It is not finished: it gets one more token at least, and may get all.": (
                lambda log_probability, length, longest, alpha: (
                    log_probability / length_penalty(length, alpha)
                )
            ),
            "The penalty is missing.": (
                lambda log_probability, length, longest, alpha: log_probability
            ),
            "The log-probability is divided by the penalty, not multiplied.": (
                lambda log_probability, length, longest, alpha: (
                    log_probability * length_penalty(longest, alpha)
                )
            ),
            "EOS is a token, too: the shortest that it can become has one token more.": (
                lambda log_probability, length, longest, alpha: bound(
                    log_probability, length - 1, longest, alpha
                )
            ),
        },
    ),
    "translation-5": Exercise(
        continuations,
        lambda: [beam() for _ in range(3)],
        {
            "The best of each hypothesis: the best k may all continue one.": (
                lambda total, log_p: (torch.arange(len(total)), log_p.argmax(-1))
            ),
            "What the hypotheses have so far must be added.": (
                lambda total, log_p: continuations(torch.zeros_like(total), log_p)
            ),
            "The quotient by V is the hypothesis, the rest is the token.": swapped,
            "A row has V entries: divide by V, not by k.": (
                lambda total, log_p: of_the_best(total[:, None] + log_p, len(total))
            ),
            "Log-probabilities are added, not multiplied.": (
                lambda total, log_p: of_the_best(total[:, None] * log_p, log_p.size(1))
            ),
            "Divide with //: which hypothesis it is has no fractions.": fractions,
            "Those are the worst: log-probabilities are negative, and the largest is wanted.": (
                lambda total, log_p: continuations(-total, -log_p)
            ),
        },
    ),
    "results-1": Exercise(
        lambda flops, gpus, rate: flops / (gpus * rate) / (24 * 3600),
        lambda: [(3.3e18, 8, 9.5e12), (9.6e18, 1, 6.0e12)],
        {
            "Those are seconds.": lambda flops, gpus, rate: flops / (gpus * rate),
            "Those are hours.": lambda flops, gpus, rate: flops / (gpus * rate) / 3600,
            "More GPUs take less time: divide by their number.": (
                lambda flops, gpus, rate: flops * gpus / rate / (24 * 3600)
            ),
            "That is for a single GPU.": lambda flops, gpus, rate: flops / rate / (24 * 3600),
        },
    ),
    "results-3": Exercise(
        lambda captions, each_side, wanted: captions * (each_side / wanted) ** 2,
        lambda: [(1000, 1.5, 0.5), (461, 2.0, 1.0), (100, 1.0, 2.0)],
        {
            "The width falls with the root of the number: half of it takes four times as many.": (
                lambda captions, each_side, wanted: captions * each_side / wanted
            ),
            "Upside down: a narrower interval takes more captions.": (
                lambda captions, each_side, wanted: captions * (wanted / each_side) ** 2
            ),
            "The root is the other way round: square the ratio.": (
                lambda captions, each_side, wanted: captions * (each_side / wanted) ** 0.5
            ),
        },
    ),
}
