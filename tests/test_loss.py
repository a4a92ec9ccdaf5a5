"""Loss: smoothed cross-entropy over the tokens that are not padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from annotated.training.loss import smoothed_loss


def by_hand(logits, target, smoothing):
    """The sum over the vocabulary, written out."""
    total = 0.0
    for row, right in zip(logits.flatten(0, -2), target.flatten(), strict=True):
        if right == 0:
            continue
        q = torch.full_like(row, smoothing / row.numel())
        q[right] += 1 - smoothing
        total = total - (q * row.log_softmax(-1)).sum()
    return total


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 20), st.floats(0, 0.5))
def test_it_is_the_sum_written_out(batch, length, vocabulary, smoothing):
    logits = torch.randn(batch, length, vocabulary)
    target = torch.randint(1, vocabulary, (batch, length))
    loss = smoothed_loss(logits, target, smoothing)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(float(by_hand(logits, target, smoothing)), rel=1e-4)


def test_padding_does_not_count_and_gets_no_gradient():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    target = torch.tensor([[1, 2, 0], [3, 0, 0]])
    smoothed_loss(logits, target).backward()
    assert (logits.grad[target == 0] == 0).all()
    assert (logits.grad[target != 0] != 0).all()
    alone = smoothed_loss(logits[:, :2], target[:, :2])
    assert torch.isclose(smoothed_loss(logits, target), alone)


def test_another_pad_id_can_be_named():
    logits, target = torch.randn(3, 7), torch.tensor([6, 1, 6])
    alone = smoothed_loss(logits[1:2], target[1:2])
    assert torch.isclose(smoothed_loss(logits, target, pad=6), alone)


def test_nothing_but_padding_has_no_loss():
    assert smoothed_loss(torch.randn(2, 7), torch.zeros(2, dtype=torch.long)).item() == 0


def test_impossible_tokens_are_no_infinity():
    logits = torch.tensor([[0.0, 200.0, -200.0]])
    assert torch.isfinite(smoothed_loss(logits, torch.tensor([1])))


def test_half_precision_logits_are_summed_in_single_precision():
    logits = torch.randn(4, 9, dtype=torch.bfloat16)
    loss = smoothed_loss(logits, torch.tensor([1, 2, 3, 4]))
    assert loss.dtype == torch.float32
    assert torch.isclose(loss, smoothed_loss(logits.float(), torch.tensor([1, 2, 3, 4])))


def test_without_smoothing_it_is_cross_entropy():
    logits, target = torch.randn(5, 11), torch.randint(1, 11, (5,))
    plain = -logits.log_softmax(-1)[torch.arange(5), target].sum()
    assert torch.isclose(smoothed_loss(logits, target, smoothing=0.0), plain)


def test_plain_loss_against_the_target_written_down():
    """PyTorch's own cross-entropy takes whole distributions too: ours, as in Section 5.4."""
    logits, target = torch.randn(6, 9), torch.tensor([1, 2, 3, 0, 8, 8])
    q = 0.9 * F.one_hot(target, 9) + 0.1 / 9
    kept = target != 0
    expected = F.cross_entropy(logits[kept], q[kept], reduction="sum")
    assert torch.isclose(smoothed_loss(logits, target), expected)
