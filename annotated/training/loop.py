# Tangled from chapters/training/loop.md: change it there, then run `make tangle`.
"""One training step, and the loop around it (Section 5.2)."""

import math
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from annotated.data.batching import Batch
from annotated.data.steps import Share
from annotated.fast import workers
from annotated.fast.dropout import quicken
from annotated.fast.packing import Objective
from annotated.model.transformer import Transformer
from annotated.ranges import Count, Length, Positive, Rate, Seed, Weight, check_ranges
from annotated.training.optimizer import adam, learning_rate

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; the defaults are the paper's (Sections 5.1 to 5.4)."""

    batch_tokens: Length = 25_000  # that a step reads on each side, at most; padding not counted
    max_tokens: Length = 256  # pairs with a longer side are left out: the paper does not say
    micro_batches: Count = 1  # parts in which a worker takes its share of a step
    steps: Count = 100_000  # each reads a batch and updates the weights
    minutes: Positive | None = None  # stop after this time, validation included, or after the steps
    warmup: Count = 4000  # steps in which the learning rate grows (equation 3)
    scale: Positive = 1.0  # times the learning rate of equation 3
    smoothing: Rate = 0.1  # of the labels (Section 5.4)
    r_drop: Weight = 0.0  # times the disagreement of two dropouts of a batch: not in the paper
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of matrix products
    # how fp32 is multiplied (Speed): as PyTorch is set, or by annotated train the fastest
    matmul_precision: Literal["highest", "high", "medium"] | None = None
    compile: bool = False  # hand the model to torch.compile
    seed: Seed = 1  # of the start, the batches and the dropout
    log_every: Count = 100  # steps between two rows of the log
    validate_every: Count = 1000  # steps between two looks at the validation set
    average: Count = 5  # checkpoints, the newest, whose mean is the model (Section 6.1)
    keep: Count | None = None  # checkpoints that stay, the newest: as many as are averaged

    def __post_init__(self) -> None:
        check_ranges(self)

    def longest(self) -> int:
        """The most tokens that a sentence may have, EOS included."""
        return min(self.max_tokens, self.batch_tokens)

    def kept(self) -> int:
        """How many checkpoints stay."""
        return self.keep or self.average


def seed_step(seed: int, step: int) -> None:
    """Make the dropout of a step depend on the seed, the step and the worker, and on no more."""
    sequence = np.random.SeedSequence([seed, step, workers.rank()])
    torch.manual_seed(int(sequence.generate_state(1)[0]))


@dataclass
class Since:
    """Sums over the steps since the last row of the log."""

    losses: float = 0.0
    steps: int = 0
    tokens: int = 0  # target tokens
    seconds: float = 0.0

    def add(self, loss: float, tokens: int, seconds: float) -> None:
        """One more step."""
        self.losses += loss
        self.steps += 1
        self.tokens += tokens
        self.seconds += seconds

    def means(self) -> dict[str, float]:
        """The loss in nats a token and the speed in target tokens a second."""
        return {
            "loss": self.losses / self.steps,
            "tokens_per_second": self.tokens / self.seconds,
        }


class Run:
    """A training run as it stands: model, optimizer, steps done, log. `update` takes a step."""

    def __init__(self, model: Transformer, config: TrainingConfig):
        self.model = model
        self.config = config
        self.step = 0
        self.seconds = 0.0  # in the loop, over all sittings
        self.log: list[dict[str, float]] = []
        self.since = Since()
        self.device = next(model.parameters()).device
        if config.matmul_precision:
            torch.set_float32_matmul_precision(config.matmul_precision)
        quicken(model)
        self.optimizer = adam(model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        objective = Objective(model, config.smoothing, config.r_drop)
        self.objective = workers.wrap(objective, config.compile)

    def update(self, share: Share | Batch) -> float:
        """One step; returns its loss in nats a target token, over all workers.

        Raises FloatingPointError where the loss is not finite; no weight has moved then.
        """
        share = Share([share], share.tokens) if isinstance(share, Batch) else share
        self.model.train()
        seed_step(self.config.seed, self.step)
        self.optimizer.zero_grad()
        *others, last = [batch.to(self.device) for batch in share.batches]
        weight = self.model.embedding.weight  # the factor is of its kind, and where it is
        factor = self.scaler.scale(weight.new_tensor(workers.world_size() / share.tokens))
        losses = [self.backward(batch, factor, sync=False) for batch in others]
        losses.append(self.backward(last, factor, sync=True))
        loss = workers.total(torch.stack(losses).sum()).item() / share.tokens
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {self.step + 1}")
        self.step += 1
        self.optimizer.param_groups[0]["lr"] = self.rate()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def backward(self, batch: Batch, factor: Tensor, sync: bool) -> Tensor:
        """Add a micro-batch's gradient, times factor (); returns its loss, summed over its tokens.

        With `sync` the gradients of all workers meet: they are averaged, so each comes in
        multiplied by the number of workers.
        """
        with workers.gradients_meet(self.objective, sync):
            with self.autocast():
                loss = self.objective(batch, factor)
            (loss * factor).backward()
        return loss.detach()

    def autocast(self) -> torch.autocast:
        """Products in the precision that the configuration says."""
        dtype = PRECISIONS[self.config.precision]
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def is_over(self) -> bool:
        """Whether its steps or its minutes are up."""
        minutes = self.config.minutes
        return self.step >= self.config.steps or (
            minutes is not None and self.seconds >= 60 * minutes
        )

    def rate(self) -> float:
        """The learning rate of the step that was taken last (equation 3)."""
        d_model = self.model.config.d_model
        return learning_rate(max(self.step, 1), d_model, self.config.warmup, self.config.scale)


@torch.no_grad()
def validation_loss(model: Transformer, held_out: Iterable[Batch]) -> float:
    """Cross-entropy in nats a target token, neither smoothed nor with dropout."""
    objective = Objective(model, smoothing=0.0).eval()
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    for batch in held_out:
        total += objective(batch.to(device)).item()
        tokens += batch.tokens
    return total / max(tokens, 1)


class Clock:
    """Seconds from one look at it to the next."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def lap(self) -> float:
        """The seconds since the lap before."""
        before, self.last = self.last, time.perf_counter()
        return self.last - before


def train(
    run: Run,
    shares: Iterable[Share | Batch],
    validate: Callable[[Transformer], dict[str, float]] | None = None,
    save: Callable[[Run], None] | None = None,
    show: Callable[[dict[str, float]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, float]]:
    """Take steps until the run's steps or minutes are up, or until `stop()`; returns the log.

    A row of the log: step, seconds (of the run), loss (nats a token, smoothed, mean since the row
    before), tokens_per_second (target tokens; validation not counted), learning_rate, and where
    the validation set was looked at what `validate` says. `save` is called after each look and
    when the loop is stopped; `show` gets a row after every step.
    """
    config, clock = run.config, Clock()
    if any(workers.agree(run.is_over())):  # a finished run takes no step
        return run.log
    for share in shares:
        loss, seconds = run.update(share), clock.lap()
        run.seconds += seconds
        run.since.add(loss, share.tokens, seconds)
        done, stopped = workers.agree(run.is_over(), stop())
        look = done or run.step % config.validate_every == 0
        row = {"step": run.step, "seconds": run.seconds, "loss": loss}
        if look or run.step % config.log_every == 0:
            row |= {"learning_rate": run.rate()} | run.since.means()
            run.since = Since()
            row |= validate(run.model) if look and validate else {}
            run.log.append(row)
        if save and (look or stopped):
            save(run)
        if show:
            show(row)
        if done or stopped:
            return run.log
        run.seconds += clock.lap()
    raise ValueError("the batches ended before the run did")


class Interrupt:
    """Ctrl-C or SIGTERM, remembered until the step under way is done; a second one ends at once.

    Use it around the loop: `with Interrupt() as stop: train(..., stop=stop)`.
    """

    def __init__(self) -> None:
        self.signal: int | None = None  # that has come

    def __call__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "Interrupt":
        self.before = {s: signal.signal(s, self.ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def ask(self, number: int, frame: FrameType | None) -> None:
        """What a signal calls."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
