# Tangled from chapters/evidence/what-heads-do.md: change it there, then run `make tangle`.
"""Which words answer to each other: links found by weights, held against gold (Section 4)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS, Tokenizer
from annotated.data.toy.pairs import Pair, as_text
from annotated.evidence.heads import attention_weights
from annotated.model.transformer import Transformer


def link_matrix(links: Iterable[tuple[int, int]], rows: int, columns: int) -> Tensor:
    """Links (row, column) -> (rows, columns), True at each of them"""
    found = torch.zeros(rows, columns, dtype=torch.bool)
    for row, column in links:
        found[row, column] = True
    return found


def gold_alignment(pair: Pair) -> Tensor:
    """(T, S), True where a target word answers to a source word"""
    return link_matrix(pair.alignment, len(pair.source), len(pair.target)).T


def largest(weights: Tensor) -> Tensor:
    """(..., T, S) -> the same of True and False: each row's largest weight, its hard link"""
    return F.one_hot(weights.argmax(-1), weights.size(-1)).bool()


def alignment_error_rate(found: Iterable[Tensor], gold: Iterable[Tensor]) -> Tensor:
    """1 - 2 |A and G| / (|A| + |G|), counted over all sentences (Och and Ney 2003).

    found (..., T, S) and gold (T, S) of each sentence -> (...). Weights may stand for links.
    """
    both = sizes = torch.tensor(0.0)
    for a, g in zip(found, gold, strict=True):
        both = both + (a * g).sum((-2, -1))
        sizes = sizes + a.sum((-2, -1)) + g.sum()
    return 1 - 2 * both / sizes


def words_of(tokenizer: Tokenizer, words: Sequence[str]) -> list[int]:
    """For each token of a sentence of the toy language, the place of its word among `words`."""
    ends = [0] + [len(tokenizer.encode(as_text(words[: n + 1]))) for n in range(len(words))]
    return [n for n in range(len(words)) for _ in range(ends[n], ends[n + 1])]


def by_words(weights: Tensor, rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    """Weights of tokens (..., T, S), and the word of each -> weights of words.

    The sum over the tokens that are looked at, the mean over those that look.
    """
    of, to = (F.one_hot(torch.tensor(each)).to(weights) for each in (rows, columns))
    return (of / of.sum(0)).mT @ weights @ to


def word_weights(model: Transformer, tokenizer: Tokenizer, pair: Pair) -> dict[str, Tensor]:
    """What the words of a pair look at, in all layers and heads, by attention and reading.

    Each is (N, H, words, words + 1): the last column is the mark, [end] in the source and [begin]
    in the target. "reading": a target word's row is where it is read; "writing": where written.
    """
    source, target = tokenizer.encode(pair.english), tokenizer.encode(pair.german)
    kept = attention_weights(model, torch.tensor([[*source, EOS]]), torch.tensor([[BOS, *target]]))
    here = [*words_of(tokenizer, pair.source), len(pair.source)]
    there, mark = words_of(tokenizer, pair.target), len(pair.target)
    reads, writes = [mark, *there], [*there, mark]
    sides = {
        "encoder": ("encoder", here, here),
        "decoder, reading": ("decoder", reads, reads),
        "decoder, writing": ("decoder", writes, reads),
        "cross, reading": ("cross-attention", reads, here),
        "cross, writing": ("cross-attention", writes, here),
    }
    return {
        name: by_words(kept[attention][:, 0], rows, columns)[..., :-1, :]  # no row of a mark
        for name, (attention, rows, columns) in sides.items()
    }


NONE = 1  # the empty source word; 0 is padding, and words are from 2


class IBMModel1:
    """A table t(target word | source word), learned by EM from sentences (Brown et al. 1993)."""

    def __init__(self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]):
        self.source, self.target = (
            {word: i for i, word in enumerate(sorted({x for line in lines for x in line}), 2)}
            for lines in (sources, targets)
        )
        self.table = torch.ones(len(self.source) + 2, len(self.target) + 2, dtype=torch.double)
        self.table[0] = self.table[:, 0] = 0  # padding takes no part
        self.pairs = (
            pad_sequences([[*self.ids(line, self.source), NONE] for line in sources]),  # (B, S)
            pad_sequences([self.ids(line, self.target) for line in targets]),  # (B, T)
        )

    def ids(self, words: Sequence[str], known: dict[str, int]) -> list[int]:
        """The places of words in the table. ValueError for a word that no pair has."""
        for word in words:
            if word not in known:
                raise ValueError(f"no training pair has the word {word!r}")
        return [known[word] for word in words]

    def shares(self, source: Tensor, target: Tensor) -> Tensor:
        """ids (B, S) and (B, T) -> how each target word is shared out (B, T, S)"""
        shares = self.table[source[:, None], target[:, :, None]]  # (B, T, S)
        return shares / shares.sum(-1, keepdim=True).clamp(min=1e-300)

    def step(self) -> None:
        """One round of EM: shares by the table, and the table that they add up to."""
        source, target = self.pairs
        places = source[:, None] * self.table.size(1) + target[:, :, None]  # (B, T, S)
        counts = torch.bincount(
            places.flatten(), self.shares(source, target).flatten(), self.table.numel()
        ).view_as(self.table)
        self.table = counts / counts.sum(1, keepdim=True).clamp(min=1e-300)

    def weights(self, source: Sequence[str], target: Sequence[str]) -> Tensor:
        """The shares of one pair of sentences: (T, S + 1), the empty word last"""
        here, there = [*self.ids(source, self.source), NONE], self.ids(target, self.target)
        return self.shares(torch.tensor([here]), torch.tensor([there]))[0]
