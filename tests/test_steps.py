"""Steps: every pair of a step read once, however many share it, and from any step on."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batching import OnDisk, drawn, lists

from annotated.data.batching import Batch, collate, plan
from annotated.data.steps import blank, share, stream
from annotated.data.tokenizer import PAD


def numbers(batch: Batch) -> list[int]:
    """Which pairs of `drawn` a batch holds."""
    return [row[0] - 100 for row in batch.source.tolist()]


def dealt(pairs, group, ranks: int, micro_batches: int = 1):
    """Every worker's share of a step."""
    return [share(pairs, group, rank, ranks, micro_batches) for rank in range(ranks)]


def target_tokens(pairs, group) -> int:
    return sum(len(pairs[i][1]) + 1 for i in group)


PAIRS_60 = drawn(60)
GROUPS = st.lists(st.integers(0, 59), min_size=1, max_size=30, unique=True)


@given(GROUPS, st.integers(1, 9), st.integers(1, 5))
@settings(deadline=None)
def test_shares_of_a_step_are_disjoint_and_together_the_group(group, ranks, micro_batches):
    indices = np.array(group, np.int32)
    hands = []
    for mine in dealt(PAIRS_60, indices, ranks, micro_batches):
        assert 1 <= len(mine.batches) <= micro_batches
        assert mine.tokens == target_tokens(PAIRS_60, group)
        real = [batch for batch in mine.batches if batch.tokens]
        hands.append(sum((numbers(batch) for batch in real), []))
        counts = [len(batch.source) for batch in real]
        assert not counts or max(counts) - min(counts) <= 1
        assert len(real) == min(micro_batches, len(hands[-1]))
    assert sorted(sum(hands, [])) == sorted(group)
    assert max(map(len, hands)) - min(map(len, hands)) <= 1


def test_a_step_is_dealt_like_cards():
    group = np.array([6, 1, 5, 0, 4, 2, 3])
    first, second = dealt(PAIRS_60, group, ranks=2, micro_batches=2)
    assert [numbers(batch) for batch in first.batches] == [[6, 4], [5, 3]]
    assert [numbers(batch) for batch in second.batches] == [[1, 2], [0]]


def test_one_worker_without_parts_gets_the_batch():
    group = plan(PAIRS_60, 200, seed=3)[0]
    [batch], tokens = share(PAIRS_60, group)
    assert equal(batch, collate([PAIRS_60[i] for i in group])) and tokens == batch.tokens


@given(GROUPS, st.integers(1, 4))
@settings(deadline=None)
def test_tokens_are_counted_without_reading_the_sentences_of_others(group, ranks):
    for rank in range(ranks):
        disk, indices = OnDisk(PAIRS_60), np.array(group, np.int32)
        assert share(disk, indices, rank, ranks).tokens == target_tokens(PAIRS_60, group)
        assert disk.read == group[rank::ranks]


def test_fewer_pairs_than_workers_leave_some_with_nothing_to_predict():
    shares = dealt(PAIRS_60, np.array([7, 9]), ranks=4, micro_batches=3)
    assert [[numbers(batch) for batch in mine.batches] for mine in shares[:2]] == [[[7]], [[9]]]
    for mine in shares[2:]:
        [batch] = mine.batches
        assert equal(batch, blank()) and batch.tokens == 0
    assert {mine.tokens for mine in shares} == {target_tokens(PAIRS_60, [7, 9])}


def test_blank_is_an_empty_sentence_without_an_answer():
    empty, batch = collate([([], [])]), blank()
    assert equal(batch, empty._replace(target_out=torch.full((1, 1), PAD)))
    assert {tensor.dtype for tensor in batch} == {torch.int64}


# The stream


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


EPOCHS = [len(plan(PAIRS_60, 200, 3, epoch)) for epoch in range(4)]
ALONE = list(islice(stream(PAIRS_60, 200, seed=3), sum(EPOCHS)))


def test_stream_is_epoch_after_epoch_each_in_another_order():
    assert min(EPOCHS) > 3
    made, before = iter(ALONE), None
    for epoch, count in enumerate(EPOCHS):
        groups = [numbers(batch) for [batch], _ in islice(made, count)]
        assert groups == lists(plan(PAIRS_60, 200, 3, epoch))
        assert sorted(sum(groups, [])) == list(range(60))
        assert groups != before
        before = groups


@pytest.mark.parametrize(("rank", "ranks", "micro_batches"), [(0, 1, 1), (1, 3, 2), (6, 7, 1)])
@pytest.mark.parametrize("start", [0, 1, EPOCHS[0] - 1, EPOCHS[0], EPOCHS[0] + 1, sum(EPOCHS) - 2])
def test_stream_goes_on_anywhere_without_reading_what_it_skips(start, rank, ranks, micro_batches):
    place, steps = (rank, ranks, micro_batches), sum(EPOCHS)
    expected = list(islice(stream(PAIRS_60, 200, 3, 0, *place), steps))[start:]
    disk = OnDisk(PAIRS_60)
    resumed = list(islice(stream(disk, 200, 3, start, *place), steps - start))
    for one, other in zip(resumed, expected, strict=True):
        assert one.tokens == other.tokens
        assert all(map(equal, one.batches, other.batches))
        assert len(one.batches) == len(other.batches)
    mine = [batch for each in expected for batch in each.batches if batch.tokens]
    assert disk.read == [i for batch in mine for i in numbers(batch)]


@pytest.mark.parametrize("micro_batches", [1, 2, 40])
@pytest.mark.parametrize("ranks", [1, 2, 3, 40])
def test_the_pairs_of_a_step_do_not_depend_on_how_many_share_it(ranks, micro_batches):
    places = [(rank, ranks, micro_batches) for rank in range(ranks)]
    workers = [stream(PAIRS_60, 200, 3, 0, *place) for place in places]
    for ([whole], tokens), *shares in zip(ALONE, *workers, strict=False):
        parts = [batch for mine in shares for batch in mine.batches if batch.tokens]
        assert sorted(sum(map(numbers, parts), [])) == sorted(numbers(whole))
        assert {mine.tokens for mine in shares} == {tokens} == {sum(b.tokens for b in parts)}


def test_stream_takes_what_it_counts():
    padded = stream(PAIRS_60, 200, seed=3, count="positions")
    assert max(batch.source.numel() for [batch], _ in islice(padded, 50)) <= 200
    assert max(batch.source.numel() for [batch], _ in ALONE) > 200


def test_stream_refuses_a_pair_over_the_budget_at_once():
    with pytest.raises(ValueError, match="pair 1 takes 31 positions, more than the budget of 30"):
        stream([([5], [6]), ([5] * 30, [6])], 30, seed=1)


def test_stream_without_a_pair_is_an_error_at_once():
    with pytest.raises(ValueError, match="nothing to train on"):
        stream([], 100, seed=1)


def test_stream_refuses_an_unknown_count_at_once():
    with pytest.raises(ValueError, match="count is one of tokens, positions, not 'pairs'"):
        stream(PAIRS_60, 200, seed=1, count="pairs")


@pytest.mark.parametrize("place", [(0, 2, 2), (0, -1, 2), (0, 0, 0)])
def test_impossible_worker_is_an_error_at_once(place):
    with pytest.raises(ValueError, match="rank is from 0 up to ranks - 1, not"):
        stream(PAIRS_60, 200, 3, *place)


@pytest.mark.parametrize("place", [(-1, 0, 1, 1), (0, 0, 1, 0), (0, 0, 1, -2)])
def test_impossible_start_or_parts_are_an_error_at_once(place):
    with pytest.raises(ValueError, match="0 and 1 at least"):
        stream(PAIRS_60, 200, 3, *place)
