# Tangled from chapters/data/batches.md: change it there, then run `make tangle`.
"""Batches: pairs of sentences as padded tensors, by token budget (Section 5.1)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer, spaced

Encoded = tuple[list[int], list[int]]  # the source's ids and the target's, without special ones


def encode_pairs(
    pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer, max_tokens: int | None = None
) -> list[Encoded]:
    """The ids of each pair of sentences, `spaced`, in order, without special ones.

    A pair with a side of more than `max_tokens` tokens (EOS counts) is left out; None keeps all.
    To learn how many that were, keep all and call `drop_long`.
    """
    encoded = [tokenizer.encode_pair(spaced(source), spaced(target)) for source, target in pairs]
    return encoded if max_tokens is None else drop_long(encoded, max_tokens)


def drop_long(encoded: Iterable[Encoded], max_tokens: int) -> list[Encoded]:
    """The pairs with at most `max_tokens` tokens on each side, EOS included."""
    return [pair for pair in encoded if longer_side(pair) <= max_tokens]


def longer_side(pair: Encoded) -> int:
    """The positions that the longer side of a pair takes, EOS (or BOS) included."""
    return max(len(pair[0]), len(pair[1])) + 1


class Batch(NamedTuple):
    """B pairs as tensors of int64 ids, each row filled up with PAD."""

    source: Tensor  # (B, S): ids, EOS
    target_in: Tensor  # (B, T): BOS, ids
    target_out: Tensor  # (B, T): ids, EOS

    @property
    def tokens(self) -> int:
        """How many target tokens there are to predict: EOS included, padding not."""
        return int((self.target_out != PAD).sum())

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


def pad_sequences(sequences: Sequence[Sequence[int]]) -> Tensor:
    """B sequences of ids, the longest of T -> (B, T) int64, filled up with PAD on the right."""
    longest = max(len(sequence) for sequence in sequences)
    rows = [[*sequence, *[PAD] * (longest - len(sequence))] for sequence in sequences]
    return torch.tensor(rows, dtype=torch.int64)  # (B, T)


def collate(pairs: Sequence[Encoded]) -> Batch:
    """B encoded pairs -> a batch; the decoder's input is its output, shifted right behind BOS."""
    return Batch(
        source=pad_sequences([[*source, EOS] for source, _ in pairs]),  # (B, S)
        target_in=pad_sequences([[BOS, *target] for _, target in pairs]),  # (B, T)
        target_out=pad_sequences([[*target, EOS] for _, target in pairs]),  # (B, T)
    )


SLACK = {"tokens": 2, "positions": 1}  # padded positions, at most, for each token of the budget


def cut(lengths: np.ndarray, tokens: int, count: str = "tokens") -> list[int]:
    """Cut pairs, as they come, into groups within the budget: where each group ends.

    lengths (N, 2): tokens of source and target, EOS included. A group has at most `tokens` of them
    on each side, and at most `SLACK[count]` times as many padded positions.
    """
    places = SLACK[count] * tokens
    longer = np.maximum(*lengths.T)  # (N,)
    total = np.concatenate([[[0, 0]], lengths.cumsum(0)])  # (N + 1, 2)
    ends, start = [], 0
    while start < len(lengths):
        rows = np.arange(1, places // longer[start] + 1)[: len(lengths) - start]
        stop = start + len(rows)  # no group that begins here can be longer
        real = np.maximum(*(total[start + 1 : stop + 1] - total[start]).T)
        padded = rows * np.maximum.accumulate(longer[start:stop])
        fits = (real <= tokens) & (padded <= places)  # True as far as the group goes
        start += max(1, int(fits.sum()))
        ends.append(start)
    return ends


POOL = 262_144  # pairs that are sorted by size together


def shuffler(seed: int, epoch: int) -> np.random.RandomState:
    """Draws the order of an epoch; of NumPy's generators this is the one that never changes."""
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, "<u4"))


def lengths_of(encoded: Sequence[Encoded]) -> np.ndarray:
    """The tokens of each pair's source and target, without special ones: (N, 2) integers.

    Where `encoded` has its `sizes` at hand, as files of prepared pairs have, no sentence is read.
    """
    if hasattr(encoded, "sizes"):
        return encoded.sizes
    lengths = (len(side) for pair in encoded for side in pair)
    return np.fromiter(lengths, np.int32, 2 * len(encoded)).reshape(-1, 2)


def check_budget(lengths: np.ndarray, tokens: int, count: str) -> None:
    """ValueError where `count` is unknown or a pair is larger than the budget."""
    if count not in SLACK:
        raise ValueError(f"count is one of {', '.join(SLACK)}, not {count!r}")
    largest = int(lengths.max(initial=0)) + 1
    if len(lengths) and largest > tokens:
        raise ValueError(
            f"pair {lengths.argmax() // 2} takes {largest} positions, more than the budget of "
            f"{tokens} tokens: raise the budget or leave long pairs out (max_tokens)"
        )


def plan(
    encoded: Sequence[Encoded],
    tokens: int,
    seed: int | None = None,
    epoch: int = 0,
    count: str = "tokens",
) -> list[np.ndarray]:
    """Which pairs make which batch of an epoch: each index once, an array for each batch.

    A batch has at most `tokens` of what is counted on each side: "tokens" (EOS included, and never
    more than twice as many padded positions) or padded "positions". With a seed, pairs of like
    length come together and the batches are shuffled, anew for every epoch and the same on every
    machine. Without one, pairs keep their order. No sentence is read where `encoded` has `sizes`.
    Raises ValueError where `count` is unknown or a pair alone is larger than the budget.
    """
    lengths = lengths_of(encoded)  # (N, 2)
    check_budget(lengths, tokens, count)
    order = np.arange(len(lengths), dtype=np.int32)  # cut and shuffled in place, to save memory
    if seed is None:
        return np.split(order, cut(lengths + 1, tokens, count)[:-1]) if len(order) else []
    draw, ends = shuffler(seed, epoch), [0]
    draw.shuffle(order)
    for start in range(0, len(order), POOL):
        pool = order[start : start + POOL]
        longer = np.maximum(*lengths[pool].T)
        pool[:] = pool[longer.argsort(kind="stable")]  # equals stay shuffled
        ends += [start + end for end in cut(lengths[pool] + 1, tokens, count)]
    return [order[ends[i] : ends[i + 1]] for i in draw.permutation(len(ends) - 1)]


def batches(
    encoded: Sequence[Encoded],
    tokens: int,
    seed: int | None = None,
    epoch: int = 0,
    count: str = "tokens",
) -> Iterator[Batch]:
    """The batches of an epoch, as `plan` lays them out; the padded tensors are made one by one."""
    groups = plan(encoded, tokens, seed, epoch, count)
    return (collate([encoded[index] for index in group]) for group in groups)
