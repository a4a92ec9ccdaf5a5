"""R-Drop: both losses and both divergences, with their gradients, chunk by chunk."""

import pytest
import torch
from losses import Largest, error_off_target, sure
from torch.nn import functional as F

from annotated.fast.r_drop import r_drop_loss
from annotated.training.loss import smoothed_loss

pytestmark = pytest.mark.filterwarnings("error::UserWarning")


def twins(count=11, width=6, vocabulary=23):
    """Two decoder outputs for the same tokens, a matrix, and the tokens, with some padding."""
    torch.manual_seed(3)
    first, second = torch.randn(2, count, width)
    target = torch.randint(1, vocabulary, (count,))
    target[::5] = 0
    weight = torch.randn(vocabulary, width)
    return *(x.requires_grad_() for x in (first, second, weight)), target


def r_drop_by_hand(first, second, weight, target, smoothing, r_drop):
    """By PyTorch's cross_entropy and kl_div."""
    logits = [(x @ weight.T)[target != 0] for x in (first, second)]
    real, options = target[target != 0], {"label_smoothing": smoothing, "reduction": "sum"}
    right = sum(F.cross_entropy(each, real, **options) for each in logits) / 2
    p, q = (each.log_softmax(-1) for each in logits)
    kl = {"log_target": True, "reduction": "sum"}
    return right + r_drop * (F.kl_div(p, q, **kl) + F.kl_div(q, p, **kl)) / 2


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize(("smoothing", "r_drop"), [(0.1, 1.0), (0.0, 2.5), (0.3, 0.0)])
def test_r_drop_is_both_losses_and_both_divergences_with_their_gradients(chunk, smoothing, r_drop):
    *given, target = twins()
    wanted = r_drop_by_hand(*given, target, smoothing, r_drop)
    loss = r_drop_loss(*given, target, smoothing, r_drop, chunk=chunk)
    assert loss.shape == () and torch.isclose(loss, wanted)
    pairs = zip(torch.autograd.grad(loss, given), torch.autograd.grad(wanted, given), strict=True)
    for gradient, expected in pairs:
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_r_drop_of_two_that_agree_is_the_smoothed_loss():
    first, _, weight, target = twins()
    assert torch.isclose(
        r_drop_loss(first, first, weight, target, r_drop=9.0),
        smoothed_loss(first @ weight.T, target),
    )


def test_r_drop_does_not_care_which_is_first():
    first, second, *rest = twins()
    assert torch.isclose(r_drop_loss(first, second, *rest), r_drop_loss(second, first, *rest))


def test_r_drop_of_padding_alone_is_zero_with_zero_gradients():
    *given, target = twins()
    loss = r_drop_loss(*given, torch.zeros_like(target))
    assert loss == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, given))


def test_r_drop_under_autocast_is_summed_in_single_precision():
    *given, target = twins(count=400, width=16)
    wanted = r_drop_by_hand(*given, target, 0.1, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = r_drop_loss(*given, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-2)


def test_r_drop_logits_never_exist_whole():
    *given, target = twins(60, 4, 100)
    with Largest() as watch:
        r_drop_loss(*given, target, chunk=7).backward()
    assert watch.most == 7 * 100


def test_r_drop_chunk_must_be_something():
    with pytest.raises(ValueError, match="chunk is a number of positions"):
        r_drop_loss(*twins(), chunk=0)


def test_r_drop_gradients_in_fp16_are_scaled_before_they_are_rounded():
    first, weight, target = sure()
    second = (first.detach() + 0.3).half()
    off = error_off_target(
        lambda x, w: r_drop_loss(x, second.to(x.dtype), w, target),
        lambda x, w: r_drop_by_hand(x, second.to(x.dtype), w, target, 0.1, 1.0),
        *(first, weight, target, 2.0**10),
    )
    assert off < 1e-3
