"""Training: one step, at every scale, and the loop."""

import math
import os
import signal
from dataclasses import fields, replace

import pytest
import torch
from torch.nn import functional as F

from annotated.data.batching import PAD, collate
from annotated.data.steps import Share, share, stream
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.loop import Interrupt, Run, TrainingConfig, train, validation_loss
from annotated.training.optimizer import learning_rate

SIZES = TransformerConfig(270, layers=1, d_model=16, d_ff=32, heads=2, dropout=0.1)
CALM = TransformerConfig(270, layers=2, d_model=16, d_ff=32, heads=2, dropout=0.0)
PAIRS = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13, 14]), ([15, 16], [17]), ([18], [19, 20, 21])]


@pytest.fixture
def batch():
    return collate(PAIRS)


def fresh(sizes=SIZES, **settings):
    torch.manual_seed(0)
    return Run(Transformer(sizes), TrainingConfig(**{"warmup": 10, **settings}))


def gradients(run, share):
    """The gradients of a step, by name: those that Adam is handed."""
    run.optimizer.step = lambda *args: None  # the weights stay where they are
    run.update(share)
    return {name: weight.grad for name, weight in run.model.named_parameters()}


def test_the_defaults_are_the_papers():
    config = TrainingConfig()
    assert (config.batch_tokens, config.steps, config.warmup) == (25_000, 100_000, 4000)
    assert (config.scale, config.smoothing, config.micro_batches) == (1.0, 0.1, 1)
    assert config.r_drop == 0.0


def test_r_drop_takes_part_in_a_step(batch):
    """Two runs that part only in it draw the same masks, and pay more for their disagreement."""
    noisy = replace(CALM, dropout=0.3)
    losses = [fresh(noisy, r_drop=r_drop).update(batch) for r_drop in (0.5, 5.0)]
    assert losses[1] > losses[0]


COUNTS = "micro_batches steps warmup log_every validate_every average keep"
WRONG = {  # values that are out of range, for each field that holds a number
    **dict.fromkeys(COUNTS.split(), [0, -1, 2.5, math.nan, math.inf, 10**10]),
    **dict.fromkeys(["batch_tokens", "max_tokens"], [0, 1, math.nan]),
    **dict.fromkeys(["minutes", "scale"], [0.0, -1.0, math.nan, math.inf]),
    "smoothing": [-0.1, 1.0, math.nan],
    "r_drop": [-1.0, math.nan, math.inf],
    "seed": [-1, 2**63, math.nan],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_number_out_of_range_is_refused(name):
    for value in WRONG[name]:
        with pytest.raises(ValueError, match=f"^{name} is .*, not {value}"):
            TrainingConfig(**{name: value})


def test_every_number_has_a_range():
    names = {field.name for field in fields(TrainingConfig)}
    assert names - set(WRONG) == {"precision", "matmul_precision", "compile"}


@pytest.mark.parametrize("wrong", [{"precision": "fp8"}, {"matmul_precision": "low"}])
def test_a_name_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{[*wrong][0]} is one of .*(fp32, bf16|highest, high)"):
        TrainingConfig(**wrong)


def test_as_many_checkpoints_stay_as_are_averaged_where_nobody_says_more():
    assert TrainingConfig().kept() == 5 and TrainingConfig(average=20).kept() == 20
    assert TrainingConfig(average=20, keep=3).kept() == 3


@pytest.mark.parametrize("products", [None, "high"])
def test_a_run_multiplies_as_it_is_told(products):
    before = torch.get_float32_matmul_precision()
    try:
        fresh(matmul_precision=products)
        assert torch.get_float32_matmul_precision() == (products or before)
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_step_is_adam_on_the_mean_loss_of_real_tokens(batch):
    run, twin = fresh(CALM), fresh(CALM).model
    before = {name: weight.detach().clone() for name, weight in run.model.named_parameters()}
    loss = run.update(batch)
    logits = twin(batch.source, batch.target_in)
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=0, label_smoothing=0.1
    )
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    rate = learning_rate(1, 16, 10)
    for (name, weight), (_, same) in zip(
        run.model.named_parameters(), twin.named_parameters(), strict=True
    ):
        step = rate * same.grad / (same.grad.abs() + 1e-9)  # Adam's first: the sign of the gradient
        sure = same.grad.abs() > 1e-6
        assert torch.allclose(weight[sure], (before[name] - step)[sure], atol=rate * 1e-2), name


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_micro_batches_have_the_gradient_of_the_big_batch(parts):
    group = torch.arange(len(PAIRS)).numpy()
    whole, divided = share(PAIRS, group), share(PAIRS, group, micro_batches=parts)
    assert len(whole.batches) == 1 and len(divided.batches) == parts
    assert whole.tokens == divided.tokens == sum(batch.tokens for batch in divided.batches)
    one, many = gradients(fresh(CALM), whole), gradients(fresh(CALM), divided)
    for name, expected in one.items():
        assert torch.allclose(many[name], expected, rtol=1e-4, atol=1e-7), name


def test_the_denominator_is_the_step_s_tokens_not_the_micro_batch_s():
    """Of two unequal micro-batches the mean of the means would be another gradient."""
    batches = [collate(PAIRS[:1]), collate(PAIRS[1:])]
    counts = [batch.tokens for batch in batches]
    assert counts[0] != counts[1]
    got = gradients(fresh(CALM), Share(batches, sum(counts)))
    expected = gradients(fresh(CALM), collate(PAIRS))
    for name, value in expected.items():
        assert torch.allclose(got[name], value, rtol=1e-4, atol=1e-7), name


def test_the_schedule_counts_steps(batch):
    run = fresh()
    for step in range(1, 4):
        run.update(batch)
        assert run.step == step
        assert run.optimizer.param_groups[0]["lr"] == learning_rate(step, 16, 10)


def test_a_batch_can_be_learnt_by_heart(batch):
    run = fresh(CALM, smoothing=0.0, scale=0.2)
    losses = [run.update(batch) for _ in range(80)]
    assert losses[-1] < 0.5 < losses[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_follow_single_precision(batch, precision):
    slow = {"smoothing": 0.0, "scale": 0.2}
    plain, half = fresh(CALM, **slow), fresh(CALM, **slow, precision=precision)
    losses = [(plain.update(batch), half.update(batch)) for _ in range(15)]
    for one, other in losses:
        assert other == pytest.approx(one, rel=0.05)
    assert losses[0][0] != losses[0][1]
    assert losses[-1][1] < 0.8 * losses[0][1]
    assert all(weight.dtype == torch.float32 for weight in half.model.parameters())
    assert half.scaler.is_enabled() == (precision == "fp16")


@pytest.mark.parametrize("parts", [1, 2])
def test_the_objective_is_told_all_that_its_loss_is_multiplied_by(batch, parts):
    run, told = fresh(CALM, precision="fp16"), []
    true = run.objective.forward
    run.objective.forward = lambda *given: told.append(given[1].item()) or true(*given)
    whole = share(PAIRS, torch.arange(len(PAIRS)).numpy(), micro_batches=parts)
    run.update(whole)
    assert told == [pytest.approx(65_536 / whole.tokens)] * parts


def test_a_scaled_step_that_overflows_is_left_out(batch):
    run = fresh(precision="fp16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = run.model.embedding.weight.clone()
    run.update(batch)
    assert torch.equal(run.model.embedding.weight, before)
    assert run.scaler.get_scale() < 2.0**127


def test_the_dropout_of_a_step_depends_on_its_number_and_the_seed_alone(batch):
    first, other = fresh(), fresh(seed=2)
    losses = [first.update(batch) for _ in range(3)]
    torch.manual_seed(1234)  # whatever else was drawn in the meantime
    again = fresh()
    torch.rand(7)
    assert [again.update(batch) for _ in range(3)] == losses
    assert other.update(batch) != losses[0]


def test_dropout_is_on_in_training_and_off_in_validation(batch):
    run = fresh()
    run.update(batch)
    assert run.model.training
    one, two = (validation_loss(run.model, [batch]) for _ in range(2))
    assert one == two
    assert not run.model.training


def test_validation_loss_is_per_token_whatever_the_batches(batch):
    model = fresh().model
    apart = validation_loss(model, [collate([pair]) for pair in PAIRS])
    assert validation_loss(model, [batch]) == pytest.approx(apart, rel=1e-5)
    logits = model(batch.source, batch.target_in).flatten(0, 1)
    expected = F.cross_entropy(logits, batch.target_out.flatten(), ignore_index=PAD)
    assert apart == pytest.approx(expected.item(), rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_run_and_moves_nothing(batch):
    run = fresh()
    with torch.no_grad():
        run.model.embedding.weight[5] = float("inf")
    before = run.model.encoder.layers[0].feed_forward.inner.weight.clone()
    with pytest.raises(FloatingPointError, match="step 1"):
        run.update(batch)
    assert torch.equal(before, run.model.encoder.layers[0].feed_forward.inner.weight)
    assert run.step == 0


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5),
    reason="this PyTorch does not compile functions with a gradient of their own",
)
def test_the_compiled_model_takes_the_same_steps(batch):
    torch._dynamo.reset()
    plain, compiled = fresh(CALM), fresh(CALM)
    compiled.objective.compile(backend="eager", dynamic=True)  # its front end, without a compiler
    for _ in range(3):
        assert compiled.update(batch) == pytest.approx(plain.update(batch), rel=1e-5)


def test_compile_is_a_choice(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: asked.append(how))
    fresh()
    assert asked == []
    fresh(compile=True)
    assert asked == [{"dynamic": True}]


def forever(batch):
    while True:
        yield Share([batch], batch.tokens)


def test_the_loop_takes_its_steps_validates_saves_and_logs(batch):
    run, saved, shown = fresh(steps=7, log_every=2, validate_every=3), [], []
    log = train(
        run,
        forever(batch),
        validate=lambda model: {"validation_loss": validation_loss(model, [batch])},
        save=lambda run: saved.append(run.step),
        show=lambda row: shown.append(row["step"]),
    )
    assert log is run.log
    assert [row["step"] for row in log] == [2, 3, 4, 6, 7]
    assert [row["step"] for row in log if "validation_loss" in row] == saved == [3, 6, 7]
    assert shown == [1, 2, 3, 4, 5, 6, 7]
    for row in log:
        assert row["tokens_per_second"] > 0
        assert row["learning_rate"] == learning_rate(int(row["step"]), 16, 10)
    seconds = [row["seconds"] for row in log]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_logged_loss_is_the_mean_since_the_row_before(batch):
    run, twin = fresh(steps=4, log_every=2), fresh()
    log = train(run, forever(batch))
    losses = [twin.update(batch) for _ in range(4)]
    assert log[0]["loss"] == pytest.approx(sum(losses[:2]) / 2)
    assert log[1]["loss"] == pytest.approx(sum(losses[2:]) / 2)


def test_minutes_end_a_run_with_a_look_and_a_checkpoint(batch):
    run, saved = fresh(steps=10**9, minutes=1e-9), []
    log = train(run, forever(batch), validate=lambda model: {"x": 1.0}, save=saved.append)
    assert log[-1]["step"] == 1 and log[-1]["x"] == 1.0 and saved == [run]


def test_a_stopped_run_is_saved_without_a_look(batch):
    run, saved = fresh(steps=100, log_every=10), []
    log = train(
        run,
        forever(batch),
        validate=lambda model: pytest.fail("there is no time for that"),
        save=lambda run: saved.append(run.step),
        stop=lambda: run.step == 5,
    )
    assert saved == [5] and log == [] and run.since.steps == 5


def test_a_finished_run_takes_no_step(batch):
    run = fresh(steps=3, log_every=1)
    train(run, forever(batch))
    assert train(run, forever(batch), save=pytest.fail) is run.log and run.step == 3


def test_too_few_batches_are_said(batch):
    with pytest.raises(ValueError, match="ended before the run did"):
        train(fresh(), [batch])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_a_second_one_at_once(number):
    handler = signal.getsignal(number)
    with Interrupt() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 1)  # it arrives here at the latest
    assert signal.getsignal(number) is handler


def test_learning_goes_on_over_epochs():
    run = fresh(smoothing=0.0, steps=60, log_every=30, scale=2.0)
    log = train(run, stream(PAIRS, tokens=8, seed=1))
    assert math.isfinite(log[-1]["loss"]) and log[-1]["loss"] < log[0]["loss"]
