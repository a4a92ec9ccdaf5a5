# Tangled from chapters/5-2-training.md: change it there, then run `make tangle`.
"""One training step, the loop around it, and checkpoints (Section 5.2)."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from annotated.batching import Batch
from annotated.loss import smoothed_loss
from annotated.optimizer import adam, learning_rate
from annotated.tokenizer import Tokenizer
from annotated.transformer import Transformer, TransformerConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; the defaults are the paper's (Sections 5.1 to 5.4)."""

    batch_tokens: int = 25_000  # padded positions on each side of a batch, at most
    steps: int = 100_000
    minutes: float | None = None  # stop after this time, validation included, or after the steps
    warmup: int = 4000  # steps
    scale: float = 1.0  # times the learning rate of equation 3
    smoothing: float = 0.1
    seed: int = 1  # of the start, the batches and the dropout
    validate_every: int = 1000  # steps

    def __post_init__(self) -> None:
        for name in ["batch_tokens", "steps", "warmup", "validate_every"]:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is a share from 0 up to 1, not {self.smoothing}")


@dataclass
class Run:
    """A training run as it stands: the model, its optimizer, the steps done, what was logged."""

    model: Transformer
    config: TrainingConfig
    step: int = 0
    log: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = adam(self.model)
        self.device = next(self.model.parameters()).device

    def update(self, batch: Batch) -> float:
        """One step on one batch; returns the loss in nats a target token.

        Raises FloatingPointError where the loss is not a number; the weights are then untouched.
        """
        self.model.train()
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda"):
            logits = self.model(batch.source, batch.target_in)  # (B, T, V)
        tokens = (batch.target_out != self.model.config.pad).sum()
        loss = smoothed_loss(logits, batch.target_out, self.config.smoothing) / tokens
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step + 1}")
        self.optimizer.zero_grad()
        loss.backward()
        self.step += 1
        self.optimizer.param_groups[0]["lr"] = self.rate()
        self.optimizer.step()
        return loss.item()

    def rate(self) -> float:
        """The learning rate of the step that is being taken (equation 3)."""
        d_model = self.model.config.d_model
        return learning_rate(max(self.step, 1), d_model, self.config.warmup, self.config.scale)


@torch.no_grad()
def validation_loss(model: Transformer, held_out: Iterable[Batch]) -> float:
    """Cross-entropy in nats a target token, neither smoothed nor with dropout."""
    model.eval()
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for batch in held_out:
        batch = batch.to(device)
        logits = model(batch.source, batch.target_in)  # (B, T, V)
        total += smoothed_loss(logits, batch.target_out, smoothing=0.0).item()
        count += int((batch.target_out != model.config.pad).sum())
    return total / max(count, 1)


def stream(epochs: Callable[[int], Iterable[Batch]]) -> Iterator[Batch]:
    """Batch after batch, epoch after epoch, without end. ValueError where there is nothing."""
    epoch = 0
    while True:
        batch = None
        for batch in epochs(epoch):
            yield batch
        if batch is None:
            raise ValueError("there is nothing to train on: the training data has no batch")
        epoch += 1


def train(
    run: Run,
    epochs: Callable[[int], Iterable[Batch]],
    validate: Callable[[Transformer], dict[str, float]] | None = None,
    save: Callable[[Run], None] | None = None,
    show: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Take steps until the run's steps or minutes are up; returns the log.

    A row of the log: step, seconds since the start, loss (nats a token, smoothed, mean since the
    row before), learning_rate, tokens_per_second (target tokens that are not padding, the time
    for validation left out), and what validate says. `show` gets a row after every step.
    """
    config, losses, tokens = run.config, [], 0
    limit = math.inf if config.minutes is None else config.minutes * 60
    began = since = time.perf_counter()
    for batch in stream(epochs):
        losses.append(run.update(batch))
        tokens += int((batch.target_out != run.model.config.pad).sum())
        now = time.perf_counter()
        done = run.step >= config.steps or now - began >= limit
        row = {"step": run.step, "seconds": now - began, "loss": losses[-1]}
        if done or run.step % config.validate_every == 0:
            row["loss"] = sum(losses) / len(losses)
            row["learning_rate"] = run.rate()
            row["tokens_per_second"] = tokens / (now - since)
            row |= validate(run.model) if validate else {}
            run.log.append(row)
            if save:
                save(run)
            losses, tokens, since = [], 0, time.perf_counter()
        if show:
            show(row)
        if done:
            return run.log
    raise AssertionError("the stream of batches has no end")


class CheckpointError(ValueError):
    """A folder that holds no usable model: one sentence that says why."""


def save_checkpoint(
    folder: Path | str,
    model: Transformer,
    tokenizer: Tokenizer,
    about: dict[str, Any] | None = None,
) -> None:
    """Write model.safetensors, model.json and tokenizer.json into `folder`, all or nothing.

    about: whatever of the run shall be kept (steps, scores): anything that JSON can hold.
    """
    folder = Path(folder)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, fresh / "model.safetensors")
    description = {"model": asdict(model.config), "about": about or {}}
    (fresh / "model.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    tokenizer.save(fresh / "tokenizer.json")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path | str, device: torch.device | str = "cpu"
) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """The model in evaluation mode, its tokenizer, and what was kept of its run.

    Raises CheckpointError where a file is missing, damaged, or belongs to another model.
    """
    folder = Path(folder)
    for name in ["model.safetensors", "model.json", "tokenizer.json"]:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} holds no model: {name} is missing")
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = Transformer(TransformerConfig(**description["model"]))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
    except Exception as error:  # each library has kinds of its own; here all mean the same
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"the model in {folder} cannot be read: {reason}") from None
    if len(tokenizer) != model.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens, its model "
            f"{model.config.vocab_size}: they do not belong together"
        )
    return model.to(device).eval(), tokenizer, description["about"]


def count_parameters(model: nn.Module) -> int:
    """The number of weights, each shared matrix once."""
    return sum(weight.numel() for weight in model.parameters())
