"""annotated average FOLDER --out FOLDER [--last N] [--half]

Write the mean of a run's last checkpoints as a model of its own. Train with --keep to have enough
of them (Section 6.1).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from annotated.cli.options import POSITIONAL, BaseOptions, Folder, UserError, say
from annotated.files import write
from annotated.folders import all_or_nothing, readable, steps_in, training_facts
from annotated.ranges import Count
from annotated.training.checkpoints import load_checkpoint, write_model
from annotated.training.loop import TrainingConfig
from annotated.translation.scores import average


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What annotated average is told."""

    folder: Folder = field(metadata=POSITIONAL)  # the run's folder
    out: Folder  # where the model goes
    last: Count | None = None  # how many checkpoints (default: what train was told with --average)
    half: bool = False  # keep the weights in float16: half the size


def run(options: Options) -> None:
    """Average, one checkpoint in memory at a time."""
    places = to_average(options.folder, options.last)
    if options.out.exists():
        raise UserError(f"--out {options.out} exists already: name a new folder")
    model, tokenizer, about = load_checkpoint(places[-1])
    facts = training_facts(places[-1])
    model.load_state_dict(average(weights(place) for place in places))
    if options.half:
        model.half()
        if not all(weight.isfinite().all() for weight in model.parameters()):
            raise UserError("some weights are too large for float16: leave --half out")
    steps = [int(place.name.removeprefix("step-")) for place in places]
    about |= {"averaged": steps, "averaging": options.words}
    with all_or_nothing(options.out) as part:
        write_model(part, model, tokenizer, about)
        write(part / "run.json", json.dumps(facts, indent=1))
    say(
        f"the mean of {len(places)} checkpoints, steps {steps[0]:,} to {steps[-1]:,}, is in "
        f"{options.out}"
    )


def to_average(folder: Path, last: int | None) -> list[Path]:
    """The last checkpoints of a run, as many as it was told to average where `last` is None."""
    places = steps_in(folder)
    if not places:
        raise UserError(f"{folder} holds no checkpoints of a run: name a folder such as runs/mine")
    if last is None:
        last = TrainingConfig(**training_facts(places[-1])["training"]).average
    if len(places) < last:
        mend = f"train with --keep {last} or give --last {len(places)}"
        raise UserError(f"{folder} has {len(places)} checkpoints, not {last}: {mend}")
    return places[-last:]


def weights(place: Path) -> dict[str, Tensor]:
    """The weights of one checkpoint."""
    with readable(place):
        return load_file(place / "model.safetensors")
