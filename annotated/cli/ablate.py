"""annotated ablate [--data NAME] [--rows ROW ...] [--seed N ...] [options]

Train rows of the paper's Table 3 and score each on the validation set. Each run is a process of its
own, and as many are side by side as the machine has room for; what was stopped goes on the next
time, and what is recorded is not done again. Options of the model and the training are of the base
model: the rows part from it in the paper's proportions. With --shard, or under torchrun, machines
that see one folder share the runs out.
"""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from annotated.cli.corpus import with_fewer
from annotated.cli.data import shared_folder, training_pairs, vocabulary
from annotated.cli.options import (
    DeviceOptions,
    Folder,
    UserError,
    heard_or_not,
    option,
    override,
    say,
)
from annotated.cli.train import check_sizes
from annotated.data.corpora import load
from annotated.evidence.variations import SCALES, Scale, named, summary, table
from annotated.fast.matmul_precision import choose_matmul_precision
from annotated.files import Busy, alone, make, write
from annotated.folders import complete, steps_in, training_facts
from annotated.model.transformer import TransformerConfig
from annotated.models import size
from annotated.ranges import Count, RangeError
from annotated.training.checkpoints import read_description
from annotated.training.loop import Interrupt, TrainingConfig
from annotated.training.progress import can_redraw, read_log, room
from annotated.training.recipes import recipe

WEIGHT_BYTES = 16  # the weight, its gradient and Adam's two means
RUN_BYTES = 1.5e9  # of a process beside its weights: PyTorch, the data and the layers' outputs
LEFT_OPEN = ("vocab_size", "matmul_precision", "seed")  # by the data, the machine, and the run
TORCHRUN = ("RANK", "LOCAL_", "GROUP_", "ROLE_", "WORLD_SIZE", "MASTER_", "TORCHELASTIC_")


@dataclass(frozen=True, kw_only=True)
class Options(DeviceOptions):
    """What annotated ablate is told."""

    configurations: ClassVar[dict[str, type]] = {
        "the base model (Section 3.1)": TransformerConfig,
        "its training (Sections 5.1 to 5.4)": TrainingConfig,
    }

    data: Literal["toy", "multi30k", "wmt14"] = "toy"  # with a base model that suits it
    pair: str = "en-de"  # source and target language, or en-fr
    # of Table 3: base, A1 ... E, big; a letter is all of its rows (default: all)
    rows: list[str] | None = None
    seed: list[int] | None = None  # of the runs: each row is trained from each (default: 1)
    train_pairs: Count | None = None  # train on so many pairs, the corpus's first
    jobs: Count | None = None  # runs side by side (default: as many as there is room for)
    shard: str | None = None  # such as 2/3: the second third of the runs, for one of three machines
    out: Folder = Path("runs/ablation")  # where the runs go, in a folder for each corpus
    record: Folder = Path("results/ablation")  # where each leaves its record, likewise

    def place(self) -> str:
        """The folder of what belongs to one comparison."""
        return self.data + (f"-{self.train_pairs}" if self.train_pairs else "")


@dataclass
class Trial:
    """A row of Table 3 from one seed: its folder, its record, and the process at work on it."""

    row: str
    seed: int
    scale: Scale
    options: Options
    process: subprocess.Popen[bytes] | None = None
    failure: str | None = None

    @property
    def name(self) -> str:
        return f"{self.row}-{self.seed}"

    @property
    def folder(self) -> Path:
        return self.options.out / self.options.place() / self.name

    @property
    def path(self) -> Path:
        """Of the record."""
        return self.options.record / self.options.place() / f"{self.name}.json"

    @property
    def scores(self) -> Path:
        """What annotated evaluate records of it, before it has the fields of a trial."""
        return self.folder / "scores.json"

    def next(self) -> list[str] | None:
        """The words of the command that it needs, if any: whatever was stopped goes on there."""
        if not steps_in(self.folder):
            return ["train", *self.fresh()]
        if not self.is_trained():
            return ["train", "--resume", str(self.folder), *self.device()]
        if not self.scores.exists():
            last = ["--split", "validation", "--record", str(self.scores)]
            return ["evaluate", "--model", str(self.folder), *last, *self.device()]
        return None

    def is_trained(self) -> bool:
        """Whether its newest checkpoint has all its steps, or its minutes."""
        facts, (_, training) = training_facts(complete(self.folder)), self.configurations()
        return facts["step"] >= training.steps or facts["seconds"] >= 60 * (
            training.minutes or math.inf
        )

    def configurations(self) -> tuple[TransformerConfig, TrainingConfig]:
        """Of its model and its training."""
        return self.scale.configurations(self.row)

    def fresh(self) -> list[str]:
        """The options of annotated train that make this run, where they part from its recipe's."""
        data, pair = self.options.data, self.options.pair
        words = ["--data", data, "--pair", pair, "--out", str(self.folder)]
        if self.scale.train_pairs:
            words += ["--train-pairs", str(self.scale.train_pairs)]
        model, training = self.configurations()
        training = replace(training, seed=self.seed)
        usual = recipe(data, pair)
        for own, others in (asdict(model), asdict(usual[0])), (asdict(training), asdict(usual[1])):
            for name, value in own.items():
                if value != others[name] or name == "seed":
                    words += switch(name, value)
        return [*words, *self.device()]

    def device(self) -> list[str]:
        given = self.options.given
        return ["--device", given["device"]] if "device" in given else []

    def check(self) -> None:
        """UserError where what is there was made otherwise than is asked for now."""
        if self.path.exists():
            config, place = load_json(self.path)["config"], self.path
        elif not steps_in(self.folder):
            return
        else:
            place = complete(self.folder)
            sizes, _ = read_description(place / "model.json")
            config = {"model": asdict(sizes), "training": training_facts(place)["training"]}
        model, training = self.configurations()
        had = config["training"] | config["model"]
        for name, value in (asdict(training) | asdict(model)).items():
            if name not in LEFT_OPEN and had.get(name, value) != value:
                other = f"{place} has {option(name)} {had[name]}, not {value}"
                raise UserError(f"{other}: name another --out and --record")

    def progress(self) -> float:
        """The share of its steps that are logged."""
        log, (_, training) = self.folder / "log.jsonl", self.configurations()
        rows = read_log(log) if log.exists() else []
        return rows[-1]["step"] / training.steps if rows else 0.0

    def finish(self) -> None:
        """Write the record: what annotated evaluate found, with row and seed."""
        found = load_json(self.scores)
        about = {
            "name": self.path.stem,
            "command": shlex.join(["annotated", *self.options.words]),
            "row": self.row,
            "seed": self.seed,
            "changes": self.scale.row(self.row),
        }
        found.pop("examples", None)
        make(self.path.parent)
        write(self.path, json.dumps(found | about, indent=1, ensure_ascii=False) + "\n")


def switch(name: str, value: Any) -> list[str]:
    """An option and its value, as they are typed."""
    if isinstance(value, bool):
        return [option(name if value else f"no_{name}")]
    return [option(name), str(value)]


def run(options: Options) -> int:
    """Do the runs that lack a record, print the table; 2 where one failed."""
    trials = trials_of(options)
    waiting = [trial for trial in trials if not trial.path.exists()]
    say(f"{len(trials):,} runs, {len(trials) - len(waiting):,} of them recorded", by_all=True)
    if waiting:
        ready(waiting, options)
        with Interrupt() as stop:
            if stopped_by := work(waiting, places(options, waiting), stop):
                say("stopped; the same command goes on", by_all=True)
                return 128 + stopped_by
    print("\n".join(table(records(trials))))
    return 2 if any(trial.failure for trial in trials) else 0


def trials_of(options: Options) -> list[Trial]:
    """The runs that the options ask for, or this machine's part of them: a seed after the other."""
    given = {name: value for name, value in options.given.items() if name != "seed"}
    usual = SCALES[options.data]
    scale = Scale(
        override(usual.model, given),
        override(usual.training, given),
        options.train_pairs or usual.train_pairs,
    )
    rows = named(options.rows or ["all"])
    for row in rows:
        check_sizes(*scale.configurations(row))  # before anything takes long
    for seed in options.seed or [1]:
        override(TrainingConfig(), {"seed": seed})
    all_of_them = [Trial(row, seed, scale, options) for seed in options.seed or [1] for row in rows]
    for trial in all_of_them:
        trial.check()
    part, parts = share(options.shard)
    return all_of_them[part::parts]


def share(shard: str | None) -> tuple[int, int]:
    """Which of how many parts is ours, from 0: as --shard i/n says, or torchrun."""
    if shard is None:
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise RangeError("shard", f"is such as 2/3, the second of three parts, not {shard}")
    return int(part) - 1, int(parts)


def ready(trials: Sequence[Trial], options: Options) -> None:
    """What all runs share: the corpus, a large one encoded, and how products are computed."""
    scale = trials[0].scale
    model, training = scale.model, scale.training
    corpus = with_fewer(load(options.data, options.pair), scale.train_pairs)
    if folder := shared_folder(corpus, model.vocab_size, False):
        tokenizer = vocabulary(corpus, model.vocab_size, False)
        training_pairs(corpus, tokenizer, folder, training.longest())
    if training.matmul_precision is None and options.find_device().type == "cpu":
        fastest: Any = choose_matmul_precision()  # once: or the rows differ in that too
        for trial in trials:
            trial.scale = replace(scale, training=replace(training, matmul_precision=fastest))


def places(options: Options, trials: Sequence[Trial]) -> list[dict[str, str]]:
    """What the environment of each run that is side by side with others says: one a GPU, or a core.

    No more than the memory holds; torchrun's workers on a machine share its places out.
    """
    device = options.find_device()
    largest = max(size(trial.configurations()[0]) for trial in trials)
    if device.type == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else map(str, range(torch.cuda.device_count()))
        found = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus]
        found *= -(-(options.jobs or 1) // len(found))
    else:
        need = largest * WEIGHT_BYTES + RUN_BYTES
        jobs = options.jobs or max(1, int(min(cores(), memory() // need)))
        found = [{"OMP_NUM_THREADS": str(max(1, cores() // jobs))}] * jobs
    found = found[: options.jobs]
    local, count = (
        int(os.environ.get(f"LOCAL_{x}", y)) for x, y in [("RANK", 0), ("WORLD_SIZE", 1)]
    )
    return found[local::count] or found[-1:]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> float:
    """Bytes that are free, where the system says so."""
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    return free[0] if free else math.inf


def work(trials: Sequence[Trial], places: Sequence[dict[str, str]], stop: Interrupt) -> int:
    """Do the runs, each in a free place; the signal that stopped it, or 0."""
    with Screen() as screen, Schedule(trials, places) as schedule:
        while schedule.is_on():
            for trial in schedule.ended():
                screen.tell(trial, len(trials) - schedule.left(), len(trials))
            schedule.start()
            screen.draw(trials)
            for _ in range(5):
                if stop():
                    return stop.signal or signal.SIGTERM
                time.sleep(0.2)
    return 0


class Schedule:
    """Runs that wait, runs that are at work, each in its place, and the places that are free."""

    def __init__(self, trials: Sequence[Trial], places: Sequence[dict[str, str]]):
        self.waiting, self.free = list(trials), list(places)
        self.running: list[tuple[Trial, dict[str, str]]] = []

    def __enter__(self) -> "Schedule":
        return self

    def __exit__(self, *error: object) -> None:
        """Stop what is at work; each run saves a checkpoint first."""
        processes = [trial.process for trial, _ in self.running if trial.process]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()

    def is_on(self) -> bool:
        return self.left() > 0

    def left(self) -> int:
        """How many have not ended."""
        return len(self.waiting) + len(self.running)

    def start(self) -> None:
        """Give the free places to runs; one that another process is at work on is left to it."""
        for trial in self.waiting[:]:
            if not self.free:
                return
            if not is_busy(trial.folder):
                self.waiting.remove(trial)
                if not trial.path.exists():  # another process may have been faster
                    self.running.append((trial, self.free.pop()))

    def ended(self) -> list[Trial]:
        """Take each run a step further that has nothing at work; those for which there is none."""
        idle = [x for x in self.running if x[0].process is None or x[0].process.poll() is not None]
        over = [x for x in idle if not advance(*x)]
        for each in over:
            self.running.remove(each)
            self.free.append(each[1])
        return [trial for trial, _ in over]


def is_busy(folder: Path) -> bool:
    """Whether another process has a run's folder to itself."""
    try:
        with alone(folder):
            return False
    except Busy:
        return True


def advance(trial: Trial, place: dict[str, str]) -> bool:
    """Start the next process of a run, or write its record; False where there is nothing to do.

    A process that failed is not followed by another; its last words tell why.
    """
    log = trial.folder.with_suffix(".log")
    if trial.process and trial.process.returncode:
        trial.failure = (log.read_text("utf-8").strip() or "it said nothing").splitlines()[-1]
        return False
    words = trial.next()
    if words is None:
        trial.finish()
        return False
    environment = {k: v for k, v in os.environ.items() if not k.startswith(TORCHRUN)} | place
    make(log.parent)
    with log.open("ab") as errors:
        trial.process = subprocess.Popen(
            [sys.executable, "-m", "annotated", *words],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to hand on, once
        )
    return True


class Screen:
    """Standard error: a table that is drawn anew in place, or where that cannot be a line a run."""

    def __init__(self) -> None:
        self.redraws, self.height = can_redraw(sys.stderr), 0

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *error: object) -> None:
        self.show([])  # standard output gets the table

    def draw(self, trials: Sequence[Trial]) -> None:
        """The table of what is recorded, with how far the others are."""
        if self.redraws:
            at_work = [each for each in trials if each.process and not each.path.exists()]
            self.show([*table(records(trials)), "", *map(how_far, at_work)])

    def show(self, lines: list[str]) -> None:
        """These lines in the place of those before, as many as there is room for."""
        columns, height = room(sys.stderr) if lines else (0, 0)
        lines = [line[: columns - 1] for line in lines[-height + 1 :]]
        up = f"\x1b[{self.height}F\x1b[J" if self.height else ""
        with heard_or_not():
            print(up + "".join(line + "\n" for line in lines), end="", file=sys.stderr, flush=True)
        self.height = len(lines)

    def tell(self, trial: Trial, ended: int, count: int) -> None:
        """What came of a run."""
        if trial.failure or not self.redraws:
            self.show([])
            found = trial.failure or summary(load_json(trial.path))
            say(f"{trial.name}: {found} ({ended} of {count} runs)", by_all=True)


def how_far(trial: Trial) -> str:
    """A line for a run that is at work."""
    share = trial.progress()
    return f"{trial.name:8} {f'{share:4.0%}' if share < 1 else 'is being scored'}"


def records(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Of those that have one."""
    return [load_json(trial.path) for trial in trials if trial.path.exists()]


def load_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
