"""annotated.training: one step, the loop, checkpoints."""

import json
import os

import pytest
import torch
from torch.nn import functional as F

from annotated.batching import collate
from annotated.optimizer import learning_rate
from annotated.tokenizer import Tokenizer
from annotated.training import (
    CheckpointError,
    Run,
    TrainingConfig,
    count_parameters,
    load_checkpoint,
    save_checkpoint,
    stream,
    train,
    validation_loss,
)
from annotated.transformer import Transformer, TransformerConfig

SIZES = TransformerConfig(270, layers=1, d_model=16, d_ff=32, heads=2, dropout=0.1)
PAIRS = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13, 14]), ([15, 16], [17])]


@pytest.fixture
def batch():
    return collate(PAIRS)


@pytest.fixture
def tokenizer():
    return Tokenizer.train(["a small text, for a small vocabulary"] * 3, 270)


def fresh(sizes=SIZES, **settings):
    torch.manual_seed(0)
    return Run(Transformer(sizes), TrainingConfig(**{"warmup": 10, **settings}))


def test_the_defaults_are_the_papers():
    config = TrainingConfig()
    assert (config.batch_tokens, config.steps, config.warmup) == (25_000, 100_000, 4000)
    assert (config.scale, config.smoothing) == (1.0, 0.1)


def test_a_step_is_adam_on_the_mean_loss_of_real_tokens(batch):
    sizes = TransformerConfig(270, 1, 16, 32, 2, dropout=0.0)
    run, twin = fresh(sizes), fresh(sizes).model
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


def test_the_schedule_counts_steps(batch):
    run = fresh()
    for step in range(1, 4):
        run.update(batch)
        assert run.step == step
        assert run.optimizer.param_groups[0]["lr"] == learning_rate(step, 16, 10)


def test_a_batch_can_be_learnt_by_heart(batch):
    run = fresh(smoothing=0.0, scale=1.0)
    losses = [run.update(batch) for _ in range(80)]
    assert losses[-1] < 0.5 < losses[0]


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


def test_a_loss_that_is_no_number_stops_the_run_and_moves_nothing(batch):
    run = fresh()
    with torch.no_grad():
        run.model.embedding.weight[5] = float("inf")
    before = run.model.encoder.layers[0].feed_forward.inner.weight.clone()
    with pytest.raises(FloatingPointError, match="step 1"):
        run.update(batch)
    assert torch.equal(before, run.model.encoder.layers[0].feed_forward.inner.weight)
    assert run.step == 0


def test_epochs_follow_each_other_and_know_their_number():
    got = [batch for batch, _ in zip(stream(lambda epoch: [epoch, epoch]), range(5), strict=False)]
    assert got == [0, 0, 1, 1, 2]


def test_nothing_to_train_on_is_said():
    with pytest.raises(ValueError, match="nothing to train on"):
        next(stream(lambda epoch: []))


def test_the_loop_takes_its_steps_validates_saves_and_logs(batch):
    run, saved, shown = fresh(steps=5, validate_every=2), [], []
    log = train(
        run,
        lambda epoch: [batch],
        validate=lambda model: {"validation_loss": validation_loss(model, [batch])},
        save=lambda run: saved.append(run.step),
        show=lambda row: shown.append(row["step"]),
    )
    assert [row["step"] for row in log] == saved == [2, 4, 5]
    assert shown == [1, 2, 3, 4, 5]
    assert log is run.log
    for row in log:
        assert row["tokens_per_second"] > 0 and row["seconds"] > 0
        assert row["learning_rate"] == learning_rate(int(row["step"]), 16, 10)
    assert log[1]["seconds"] > log[0]["seconds"]


def test_a_logged_loss_is_the_mean_since_the_row_before(batch):
    run, twin = fresh(steps=4, validate_every=2), fresh()
    log = train(run, lambda epoch: [batch])
    torch.manual_seed(0)
    twin = fresh()
    losses = [twin.update(batch) for _ in range(4)]
    assert log[0]["loss"] == pytest.approx(sum(losses[:2]) / 2)
    assert log[1]["loss"] == pytest.approx(sum(losses[2:]) / 2)


def test_minutes_end_a_run(batch):
    run = fresh(steps=10**9, minutes=1e-9)
    assert train(run, lambda epoch: [batch])[-1]["step"] == 1


def test_a_checkpoint_is_three_files_of_data_and_gives_the_same_model(tmp_path, batch, tokenizer):
    run = fresh()
    run.update(batch)
    save_checkpoint(tmp_path / "run", run.model, tokenizer, {"step": 1})
    assert sorted(os.listdir(tmp_path)) == ["run"]
    names = ["model.json", "model.safetensors", "tokenizer.json"]
    assert sorted(os.listdir(tmp_path / "run")) == names
    model, same, about = load_checkpoint(tmp_path / "run")
    run.model.eval()
    assert not model.training
    assert torch.equal(
        model(batch.source, batch.target_in), run.model(batch.source, batch.target_in)
    )
    assert about == {"step": 1}
    assert same.encode("a small text") == tokenizer.encode("a small text")
    assert count_parameters(model) == count_parameters(run.model)


def test_saving_again_replaces_the_checkpoint(tmp_path, tokenizer):
    run = fresh()
    for step in (1, 2):
        save_checkpoint(tmp_path / "run", run.model, tokenizer, {"step": step})
    assert load_checkpoint(tmp_path / "run")[2] == {"step": 2}
    assert os.listdir(tmp_path) == ["run"]


def test_a_save_that_fails_leaves_the_last_checkpoint(tmp_path, tokenizer):
    run = fresh()
    save_checkpoint(tmp_path / "run", run.model, tokenizer, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "run", run.model, tokenizer, {"step": object()})
    assert load_checkpoint(tmp_path / "run")[2] == {"step": 1}


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path, tokenizer, name):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "tokenizer.json"])
def test_a_truncated_file_is_one_sentence(tmp_path, tokenizer, name):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    file = tmp_path / "run" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "run")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "run") in str(error.value)


def test_weights_of_another_model_are_refused(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    file = tmp_path / "run" / "model.json"
    description = json.loads(file.read_text())
    description["model"]["d_ff"] = 64
    file.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "run")


def test_a_tokenizer_of_another_model_is_refused(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    Tokenizer.train(["another text"], 262).save(tmp_path / "run" / "tokenizer.json")
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_checkpoint(tmp_path / "run")
