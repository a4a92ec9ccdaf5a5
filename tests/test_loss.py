"""Loss: smoothed cross-entropy over real tokens, plain and in chunks, and R-Drop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import annotated.training.loss
from annotated.training.loss import fused_loss, r_drop_loss, smoothed_loss

pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # such as a resized buffer


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

    def spy(*inputs, real=annotated.training.loss.loss_and_gradients):
        loss, *gradients = real(*inputs)
        computed.append(tuple(gradient is not None for gradient in gradients))
        return loss, *gradients

    monkeypatch.setattr(annotated.training.loss, "loss_and_gradients", spy)
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


def sure(count=40, width=16, vocabulary=37_000):
    """Places, exact in fp16, whose tokens are predicted well: other logits' gradients are tiny."""
    torch.manual_seed(0)
    x = torch.randn(count, width).half().float()
    weight = (torch.randn(vocabulary, width) / width**0.5).half().float()
    target = torch.randint(1, vocabulary, (count,))
    weight[target] = 3 * x
    return x.requires_grad_(), weight.requires_grad_(), target


def error_off_target(loss, exact, x, weight, target, factor):
    """How far the matrix's gradient in fp16 is from that in float64, in rows of no target."""
    with torch.autocast("cpu", torch.float16):
        value = loss(x, weight)
    (ours,) = torch.autograd.grad(value * factor, weight)
    (theirs,) = torch.autograd.grad(exact(x.double(), weight.double()), weight)
    others = torch.ones(len(weight), dtype=torch.bool).index_fill_(0, target, False)
    return ((ours / factor - theirs)[others].norm() / theirs[others].norm()).item()


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


def test_r_drop_gradients_in_fp16_are_scaled_before_they_are_rounded():
    first, weight, target = sure()
    second = (first.detach() + 0.3).half()
    off = error_off_target(
        lambda x, w: r_drop_loss(x, second.to(x.dtype), w, target),
        lambda x, w: r_drop_by_hand(x, second.to(x.dtype), w, target, 0.1, 1.0),
        *(first, weight, target, 2.0**10),
    )
    assert off < 1e-3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3e4])
def test_a_scale_changes_no_gradient(scale):
    x, weight, target = places(dtype=torch.float64)
    told = torch.tensor(scale, dtype=torch.float64)
    ours = value_and_gradients(lambda x, w: fused_loss(x, w, target, scale=told), x, weight)
    theirs = value_and_gradients(lambda x, w: torch_loss(x, w, target), x, weight)
    torch.testing.assert_close(ours, theirs)


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that any operation returns."""

    most = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.most = max(self.most, tensor.numel())
        return result


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


# R-Drop


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
