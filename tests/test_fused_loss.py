"""The fused loss: chunk by chunk it is the smoothed loss, with its gradients, in any precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses import Largest, error_off_target, sure
from torch.nn import functional as F

import annotated.fast.fused_loss
from annotated.fast.fused_loss import fused_loss
from annotated.training.loss import smoothed_loss

pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # such as a resized buffer


def places(count=11, width=6, vocabulary=23, **options):
    """What the decoder says at `count` places, a matrix, and the right tokens, two of them pads."""
    torch.manual_seed(count)
    x = torch.randn(count, width, **options).requires_grad_()
    weight = torch.randn(vocabulary, width, **options).requires_grad_()
    target = torch.randint(1, vocabulary, (count,))
    target[2:4] = 0
    return x, weight, target


def value_and_gradients(loss, *inputs):
    """A loss, and the gradients of 0.3 times it: what comes after the loss scales them."""
    value = loss(*inputs)
    return value, *torch.autograd.grad(0.3 * value, inputs)


def torch_loss(x, weight, target, smoothing=0.1):
    """The same by PyTorch's cross-entropy, in the precision of x."""
    return F.cross_entropy(
        x @ weight.T, target, ignore_index=0, label_smoothing=smoothing, reduction="sum"
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("chunk", [1, 3, 9, 100])
def test_fused_is_cross_entropy_with_its_gradients(chunk, smoothing):
    x, weight, target = places(dtype=torch.float64)
    fused = value_and_gradients(
        lambda x, w: fused_loss(x, w, target, smoothing, chunk=chunk), x, weight
    )
    plain = value_and_gradients(lambda x, w: torch_loss(x, w, target, smoothing), x, weight)
    torch.testing.assert_close(fused, plain)
    assert (fused[1][2:4] == 0).all()  # padding is told nothing


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="this PyTorch has none")
def test_fused_is_the_loss_that_recent_pytorch_has():
    x, weight, target = places(dtype=torch.float64)
    options = {"ignore_index": 0, "label_smoothing": 0.1, "reduction": "sum"}
    theirs = value_and_gradients(
        lambda x, w: F.linear_cross_entropy(x, w, target, **options), x, weight
    )
    ours = value_and_gradients(lambda x, w: fused_loss(x, w, target), x, weight)
    torch.testing.assert_close(ours, theirs)


def test_fused_gradients_are_those_of_finite_differences():
    x, weight, target = places(dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: fused_loss(x, w, target, 0.2, chunk=4), (x, weight)
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(2, 40), st.integers(0, 7), st.floats(0, 1))
def test_fused_is_the_plain_loss_whatever_the_sizes(count, chunk, vocabulary, pad, smoothing):
    x, weight = torch.randn(count, 5), torch.randn(vocabulary, 5)
    target = torch.randint(vocabulary, (count,))
    fused = fused_loss(x, weight, target, smoothing, pad, chunk)
    plain = smoothed_loss(x @ weight.T, target, smoothing, pad)
    assert fused.item() == pytest.approx(plain.item(), rel=1e-4, abs=1e-4)


def test_fused_takes_batches_of_sequences():
    x, weight, target = places(12)
    assert torch.isclose(
        fused_loss(x.view(3, 4, 6), weight, target.view(3, 4)), fused_loss(x, weight, target)
    )


@pytest.mark.parametrize("target", [torch.zeros(5, dtype=torch.long), torch.ones(0).long()])
def test_fused_of_padding_alone_or_of_nothing_is_zero_with_zero_gradients(target):
    x, weight = torch.randn(len(target), 4, requires_grad=True), torch.randn(7, 4).requires_grad_()
    loss, grad_x, grad_weight = value_and_gradients(
        lambda x, w: fused_loss(x, w, target), x, weight
    )
    assert loss.item() == 0 and grad_x.shape == x.shape
    assert (grad_x == 0).all() and (grad_weight == 0).all()


def test_fused_large_logits_are_no_infinity():
    x = torch.tensor([[1e4], [-1e4], [1e4]], requires_grad=True)
    weight = torch.tensor([[0.5], [1.0], [-1.0], [0.999]], requires_grad=True)
    target = torch.tensor([1, 1, 3])
    fused = value_and_gradients(lambda x, w: fused_loss(x, w, target), x, weight)
    plain = value_and_gradients(lambda x, w: torch_loss(x, w, target), x, weight)
    assert all(result.isfinite().all() for result in fused)
    torch.testing.assert_close(fused, plain)


def test_fused_without_smoothing_stands_on_its_right_token_alone():
    x, weight, target = places()
    plain = -(x @ weight.T).log_softmax(-1).gather(1, target[:, None])[target != 0].sum()
    assert torch.isclose(fused_loss(x, weight, target, smoothing=0.0), plain)


def test_fused_computes_no_gradient_that_nobody_wants(monkeypatch):
    computed = []

    def spy(*inputs, real=annotated.fast.fused_loss.loss_and_gradients):
        loss, *gradients = real(*inputs)
        computed.append(tuple(gradient is not None for gradient in gradients))
        return loss, *gradients

    monkeypatch.setattr(annotated.fast.fused_loss, "loss_and_gradients", spy)
    x, weight, target = places()
    with torch.no_grad():
        alone = fused_loss(x, weight, target)
    assert not alone.requires_grad and torch.isclose(alone, fused_loss(x, weight, target))
    fused_loss(x, weight.detach(), target).backward()  # a frozen matrix
    fused_loss(x.detach(), weight, target).backward()
    assert computed == [(False, False), (True, True), (True, False), (False, True)]


def test_fused_gradients_may_be_taken_twice_but_not_differentiated():
    x, weight, target = places()
    loss = fused_loss(x, weight, target)
    once = torch.autograd.grad(loss, (x, weight), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, (x, weight), retain_graph=True), once)
    (grad,) = torch.autograd.grad(loss * loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("chunk", [4, 512])
def test_fused_under_autocast_is_the_plain_loss_under_autocast(chunk):
    x, weight, target = places(40, 32, 200)
    with torch.autocast("cpu", torch.bfloat16):
        fused = value_and_gradients(lambda x, w: fused_loss(x, w, target, chunk=chunk), x, weight)
        plain = value_and_gradients(lambda x, w: smoothed_loss(x @ w.T, target), x, weight)
    assert [result.dtype for result in fused] == [torch.float32] * 3
    torch.testing.assert_close(fused[0], plain[0], rtol=1e-4, atol=0)
    for ours, theirs in zip(fused[1:], plain[1:], strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
    exact = value_and_gradients(lambda x, w: torch_loss(x, w, target), x, weight)
    assert (fused[2] - exact[2]).norm() < 0.02 * exact[2].norm()
    assert (fused[2] - exact[2]).norm() > 0  # so the products were in half precision


def test_fused_bfloat16_weights_have_bfloat16_gradients():
    x, weight, target = places(40, 32, 200, dtype=torch.bfloat16)
    fused = value_and_gradients(lambda x, w: fused_loss(x, w, target, chunk=7), x, weight)
    assert [result.dtype for result in fused] == [torch.float32, torch.bfloat16, torch.bfloat16]
    exact = value_and_gradients(lambda x, w: torch_loss(x.float(), w.float(), target), x, weight)
    torch.testing.assert_close(fused[0], exact[0], rtol=1e-2, atol=0)


@pytest.mark.parametrize("factor", [2.0**10, 65_536 / 40])
def test_fused_gradients_in_fp16_are_scaled_before_they_are_rounded(factor):
    x, weight, target = sure()
    scale = torch.tensor(factor)
    fused, plain = (
        error_off_target(loss, lambda x, w: torch_loss(x, w, target), x, weight, target, factor)
        for loss in (
            lambda x, w: fused_loss(x, w, target, scale=scale),
            lambda x, w: smoothed_loss(x @ w.T, target),
        )
    )
    assert fused < 5e-4 and fused < 1.1 * plain


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3e4])
def test_a_scale_changes_no_gradient(scale):
    x, weight, target = places(dtype=torch.float64)
    told = torch.tensor(scale, dtype=torch.float64)
    ours = value_and_gradients(lambda x, w: fused_loss(x, w, target, scale=told), x, weight)
    theirs = value_and_gradients(lambda x, w: torch_loss(x, w, target), x, weight)
    torch.testing.assert_close(ours, theirs)


def test_fused_logits_never_exist_whole():
    x, weight, target = places(60, 4, 100)
    with Largest() as plain:
        smoothed_loss(x @ weight.T, target).backward()
    with Largest() as fused:
        fused_loss(x, weight, target, chunk=7).backward()
    assert plain.most == 60 * 100 and fused.most == 7 * 100


def test_fused_chunk_must_be_something():
    with pytest.raises(ValueError, match="chunk is a number of positions"):
        fused_loss(*places(), chunk=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fused_on_a_gpu():
    x, weight, target = places(40, 32, 200)
    here = value_and_gradients(lambda x, w: fused_loss(x, w, target, chunk=16), x, weight)
    there = value_and_gradients(
        lambda x, w: fused_loss(x, w, target.cuda(), chunk=16),
        x.detach().cuda().requires_grad_(),
        weight.detach().cuda().requires_grad_(),
    )
    torch.testing.assert_close([result.cpu() for result in there], list(here), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    not hasattr(torch.nn, "LinearCrossEntropyOptions"), reason="this PyTorch has no chunks"
)
def test_what_the_chunks_of_recent_pytorch_lack():
    """Why the package keeps its own: should this fail, look at PyTorch's again."""
    x, weight, target = places()
    options = {"reduction": "sum", "options": torch.nn.LinearCrossEntropyOptions()}
    with pytest.warns(UserWarning, match="label_smoothing == 0"):
        F.linear_cross_entropy(x, weight, target, label_smoothing=0.1, **options)
    x, weight, target = sure()
    factor = 2.0**10
    off = error_off_target(
        lambda x, w: F.linear_cross_entropy(x.half(), w.half(), target, **options).float(),
        lambda x, w: torch_loss(x, w, target, smoothing=0.0),
        *(x, weight, target, factor),
    )
    assert off > 0.5
