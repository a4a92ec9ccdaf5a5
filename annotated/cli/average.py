"""annotated average FOLDER --out FOLDER [--last N] [--half]

Write the mean of a run's last checkpoints as a model of its own. Train with --keep to have enough
of them (Section 6.1).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from annotated.cli.options import POSITIONAL, BaseOptions, Folder, UserError, say
from annotated.files import write
from annotated.folders import all_or_nothing, steps_in, training_facts
from annotated.ranges import Count
from annotated.training.checkpoints import load_checkpoint, write_model
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
    mean = average(load_checkpoint(place)[0].state_dict() for place in places)
    model, tokenizer, about = load_checkpoint(places[-1])
    model.load_state_dict(mean)
    if options.half:
        model.half()
        if not all(weight.isfinite().all() for weight in model.parameters()):
            raise UserError("some weights are too large for float16: leave --half out")
    steps = [int(place.name.removeprefix("step-")) for place in places]
    about |= {"averaged": steps, "averaging": options.words}
    with all_or_nothing(options.out) as part:
        write_model(part, model, tokenizer, about)
        write(part / "run.json", json.dumps(training_facts(places[-1]), indent=1))
    which = f"{len(places)} checkpoints, steps {steps[0]:,} to {steps[-1]:,}"
    say(f"the mean of {which}, is in {options.out}")


def to_average(folder: Path, last: int | None) -> list[Path]:
    """The last checkpoints of a run, as many as it was told to average where `last` is None."""
    places = steps_in(folder)
    if not places:
        raise UserError(f"{folder} holds no checkpoints of a run: name a folder such as runs/mine")
    last = last or int(training_facts(places[-1])["training"]["average"])
    if len(places) < last:
        mend = f"train with --keep {last} or give --last {len(places)}"
        raise UserError(f"{folder} has {len(places)} checkpoints, not {last}: {mend}")
    return places[-last:]
