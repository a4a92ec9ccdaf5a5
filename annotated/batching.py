# Tangled from chapters/5-1-data.md: change it there, then run `make tangle`.
"""Batches: pairs of sentences as padded tensors, by token budget (Section 5.1)."""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from annotated.tokenizer import BOS, EOS, PAD, Tokenizer

Encoded = tuple[list[int], list[int]]  # the source's ids and the target's, without special ones


class Batch(NamedTuple):
    """What one step of training reads: int64 ids, each row filled up with PAD."""

    source: Tensor  # (B, S): ids, EOS
    target_in: Tensor  # (B, T): BOS, ids
    target_out: Tensor  # (B, T): ids, EOS

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


def encode_pairs(
    pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer, max_tokens: int | None = None
) -> list[Encoded]:
    """The ids of each pair of sentences, in order, without special ones.

    A pair with a side of more than `max_tokens` positions (EOS counts) is left out; None keeps all.
    """
    encoded = [(tokenizer.encode(source), tokenizer.encode(target)) for source, target in pairs]
    if max_tokens is None:
        return encoded
    return [pair for pair in encoded if positions(pair) <= max_tokens]


def positions(pair: Encoded) -> int:
    """The positions that the longer side of a pair takes, EOS (or BOS) included."""
    return max(len(pair[0]), len(pair[1])) + 1


def pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """B sequences of ids, the longest of T -> (B, T) int64, filled up with PAD on the right."""
    longest = max(len(sequence) for sequence in sequences)
    rows = [[*sequence, *[PAD] * (longest - len(sequence))] for sequence in sequences]
    return torch.tensor(rows, dtype=torch.int64)  # (B, T)


def collate(pairs: Sequence[Encoded]) -> Batch:
    """B encoded pairs -> a batch; the decoder's input is its output, shifted right behind BOS."""
    return Batch(
        source=pad([[*source, EOS] for source, _ in pairs]),  # (B, S)
        target_in=pad([[BOS, *target] for _, target in pairs]),  # (B, T)
        target_out=pad([[*target, EOS] for _, target in pairs]),  # (B, T)
    )


def cut(order: Sequence[int], sizes: Sequence[int], tokens: int) -> list[list[int]]:
    """Cut indices, as they come, into groups of at most `tokens` padded positions a side."""
    groups: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, sizes[index])
        if not groups or (len(groups[-1]) + 1) * longest > tokens:
            groups.append([])
            longest = sizes[index]
        groups[-1].append(index)
    return groups


POOL = 65_536  # pairs that are sorted by size together


def plan(
    encoded: Sequence[Encoded], tokens: int, seed: int | None = None, epoch: int = 0
) -> list[list[int]]:
    """Which pairs make which batch of an epoch: each index once, a list for each batch.

    With a seed, pairs of like length come together and the batches are shuffled, anew for every
    epoch and the same on every machine. Without one, pairs keep their order.
    Raises ValueError where a pair alone is larger than the budget.
    """
    sizes = [positions(pair) for pair in encoded]
    if sizes and max(sizes) > tokens:
        raise ValueError(
            f"pair {sizes.index(max(sizes))} takes {max(sizes)} positions, more than the budget of "
            f"{tokens} tokens: raise the budget or leave long pairs out (max_tokens)"
        )
    order = list(range(len(sizes)))
    if seed is None:
        return cut(order, sizes, tokens)
    draw = random.Random(f"{seed} {epoch}")
    draw.shuffle(order)
    groups: list[list[int]] = []
    for start in range(0, len(order), POOL):
        pool = sorted(order[start : start + POOL], key=sizes.__getitem__)  # equals stay shuffled
        groups += cut(pool, sizes, tokens)
    draw.shuffle(groups)
    return groups


def batches(
    encoded: Sequence[Encoded], tokens: int, seed: int | None = None, epoch: int = 0
) -> Iterator[Batch]:
    """The batches of an epoch, as `plan` lays them out; the padded tensors are made one by one.

    `tokens` bounds padded positions on each side: B * S <= tokens and B * T <= tokens.
    """
    groups = plan(encoded, tokens, seed, epoch)
    return (collate([encoded[index] for index in group]) for group in groups)
