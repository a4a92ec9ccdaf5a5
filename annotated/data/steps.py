# Tangled from chapters/training/loop.md: change it there, then run `make tangle`.
"""Steps: what each worker reads of each step of a run, from any step on (Section 5.2)."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from annotated.data.batching import Batch, Encoded, check_budget, collate, lengths_of, plan
from annotated.data.tokenizer import BOS, EOS, PAD


class Share(NamedTuple):
    """What one worker reads of a step."""

    batches: list[Batch]  # its micro-batches, at least one
    tokens: int  # target tokens of the whole step, of all workers


def blank() -> Batch:
    """An empty sentence with nothing to predict: its loss is zero, and so are its gradients."""
    source, target_in, target_out = (torch.tensor([[one]]) for one in (EOS, BOS, PAD))  # (1, 1)
    return Batch(source, target_in, target_out)


def sizes_of(encoded: Sequence[Encoded], group: np.ndarray) -> np.ndarray:
    """`sizes` of the pairs in `group` alone: indices (n,) -> (n, 2)"""
    return (
        encoded.sizes[group]
        if hasattr(encoded, "sizes")
        else lengths_of([encoded[i] for i in group])
    )


def share(
    encoded: Sequence[Encoded],
    group: np.ndarray,
    rank: int = 0,
    ranks: int = 1,
    micro_batches: int = 1,
) -> Share:
    """What worker `rank` of `ranks` reads of a step on the pairs in `group`, an array of indices.

    At most `micro_batches` batches, none of them empty. Where there are fewer pairs than workers,
    those without a pair read `blank`. No sentence of others is read where `encoded` has `sizes`.
    """
    hand = group[rank::ranks]
    parts = [hand[i::micro_batches] for i in range(min(micro_batches, len(hand)))]
    mine = [collate([encoded[index] for index in part]) for part in parts]
    tokens = int(sizes_of(encoded, group)[:, 1].sum()) + len(group)  # and an EOS each
    return Share(mine or [blank()], tokens)


def stream(
    encoded: Sequence[Encoded],
    tokens: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    ranks: int = 1,
    micro_batches: int = 1,
    count: str = "tokens",
) -> Iterator[Share]:
    """What worker `rank` of `ranks` reads, a share for each step from number `start` on, forever.

    The steps are the groups of `plan` for epoch 0, then 1, and so on. Earlier epochs are planned
    again, but no sentence of an earlier step is read. Raises ValueError where there is no pair,
    the place is impossible or `plan` would refuse.
    """
    if not len(encoded):
        raise ValueError("there is nothing to train on: the training data has no pair")
    if not 0 <= rank < ranks:
        raise ValueError(f"rank is from 0 up to ranks - 1, not {rank} where ranks is {ranks}")
    if start < 0 or micro_batches < 1:
        raise ValueError(f"from start {start} in {micro_batches} micro-batches: 0 and 1 at least")
    check_budget(lengths_of(encoded), tokens, count)
    plans = (plan(encoded, tokens, seed, epoch, count) for epoch in itertools.count())
    groups = itertools.islice(itertools.chain.from_iterable(plans), start, None)
    return (share(encoded, group, rank, ranks, micro_batches) for group in groups)
