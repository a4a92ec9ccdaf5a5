# Tangled from chapters/reference/checkpoints.md: change it there, then run `make tangle`.
"""Checkpoints: models on disk, and runs that can be taken up again (Section 5.2)."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from annotated.data.tokenizer import Tokenizer
from annotated.data.word_tokenizer import load_tokenizer
from annotated.files import write
from annotated.folders import (
    RUN_FILES,
    CheckpointError,
    all_or_nothing,
    complete,
    readable,
    steps_in,
)
from annotated.model.transformer import Transformer
from annotated.models import build, configured, described
from annotated.training.loop import Run, Since, TrainingConfig


def write_model(
    folder: Path, model: Transformer, tokenizer: Tokenizer, about: dict[str, Any]
) -> None:
    """The three files of a model."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    description = {"model": described(model.config), "about": about}
    write(folder / "model.json", json.dumps(description, indent=1))
    tokenizer.save(folder / "tokenizer.json")


def save_checkpoint(
    folder: Path | str,
    model: Transformer,
    tokenizer: Tokenizer,
    about: dict[str, Any] | None = None,
) -> None:
    """Write a model into a new folder, all or nothing.

    about: whatever of the run shall be kept (data, scores): anything that JSON can hold.
    Raises CheckpointError where the folder exists or cannot be written.
    """
    with all_or_nothing(Path(folder)) as part:
        write_model(part, model, tokenizer, about or {})


def read_description(path: Path) -> tuple[Any, dict[str, Any]]:
    """What model.json says: the model's sizes, and what was kept of its run."""
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return configured(description["model"]), dict(description["about"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} cannot be read: it is damaged, or describes no model of this book"
        ) from None


def read_weights(model: Transformer, path: Path) -> None:
    """The weights of model.safetensors, into a model of the right sizes."""
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError):
        raise CheckpointError(
            f"{path} cannot be read: it is damaged, or holds another model's weights"
        ) from None


def load_checkpoint(
    folder: Path | str,
    device: torch.device | str = "cpu",
    read: Callable[[Path], Tokenizer] = load_tokenizer,
) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """The model in evaluation mode, its tokenizer, and what was kept of its run.

    `folder` is a checkpoint's, or a run's: then its newest. `read` is how to read the tokenizer's
    file, where that takes more than the file. Raises CheckpointError where a file is missing,
    damaged, or belongs to another model.
    """
    place = complete(folder)
    with readable(place):
        config, about = read_description(place / "model.json")
        model = build(config)
        read_weights(model, place / "model.safetensors")
        tokenizer = read(place / "tokenizer.json")
    if len(tokenizer) != model.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {place} has {len(tokenizer)} tokens, its model "
            f"{model.config.vocab_size}: they do not belong together"
        )
    return model.to(device).eval(), tokenizer, about


def optimizer_tensors(run: Run) -> dict[str, Tensor]:
    """Adam's averages and step counts, by the names of the weights that they belong to."""
    names = [name for name, _ in run.model.named_parameters()]
    state = run.optimizer.state_dict()["state"]
    return {
        f"{key}.{names[index]}": value.contiguous()
        for index, kept in state.items()
        for key, value in kept.items()
    }


def restore_optimizer(run: Run, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; ValueError where that was another model's."""
    weights = dict(run.model.named_parameters())
    shapes = {f"exp_avg.{name}": weight.shape for name, weight in weights.items()}
    found = {name: value.shape for name, value in tensors.items() if name in shapes}
    if tensors and (found != shapes or len(tensors) != 3 * len(weights)):
        raise ValueError("optimizer.safetensors belongs to another model")
    names = enumerate(weights if tensors else [])  # no state yet where every step overflowed
    keys = "step", "exp_avg", "exp_avg_sq"
    state = {index: {key: tensors[f"{key}.{name}"] for key in keys} for index, name in names}
    groups = run.optimizer.state_dict()["param_groups"]  # as this machine has them
    run.optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_run(folder: Path | str, run: Run, tokenizer: Tokenizer, about: dict[str, Any]) -> Path:
    """Write everything that a run needs to go on into `folder`/step-N; returns that path.

    The newest `run.config.kept()` stay, older ones go. Raises CheckpointError where it cannot be
    written, FloatingPointError where a weight is not finite; earlier checkpoints are untouched.
    """
    if not all(weight.isfinite().all() for weight in run.model.parameters()):
        raise FloatingPointError(f"weights are no finite numbers after step {run.step}")
    place = Path(folder) / f"step-{run.step:08}"
    facts = {"training": asdict(run.config), "step": run.step, "seconds": run.seconds}
    facts |= {"since": asdict(run.since), "scaler": run.scaler.state_dict(), "log": run.log}
    facts |= {"matmul_precision": torch.get_float32_matmul_precision()}
    with all_or_nothing(place) as part:
        write_model(part, run.model, tokenizer, about)
        save_file(optimizer_tensors(run), part / "optimizer.safetensors")
        write(part / "run.json", json.dumps(facts, indent=1))
    for old in steps_in(Path(folder))[: -run.config.kept()]:
        shutil.rmtree(old)
    return place


def resume(
    folder: Path | str, device: torch.device | str = "cpu"
) -> tuple[Run, Tokenizer, dict[str, Any]]:
    """The run in `folder` as it was at its newest checkpoint, its tokenizer, what was kept of it.

    Sets how float32 products are computed as it was then, so that the run goes on bit for bit.
    """
    place = complete(folder, RUN_FILES)
    model, tokenizer, about = load_checkpoint(place, device)
    with readable(place):
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        torch.set_float32_matmul_precision(facts["matmul_precision"])
        run = Run(model, TrainingConfig(**facts["training"]))
        restore_optimizer(run, load_file(place / "optimizer.safetensors", str(device)))
        run.scaler.load_state_dict(facts["scaler"])
        run.step, run.seconds, run.log = facts["step"], facts["seconds"], facts["log"]
        run.since = Since(**facts["since"])
    return run, tokenizer, about
