# Tangled from chapters/reference/checkpoints.md: change it there, then run `make tangle`.
"""The folders of checkpoints: written whole or not at all, found by their names (Section 5.2)."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from annotated.files import LOCK, Busy, alone, make, permit, put

MODEL_FILES = ["model.safetensors", "model.json", "tokenizer.json"]
RUN_FILES = [*MODEL_FILES, "optimizer.safetensors", "run.json"]


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read: one sentence that says why."""


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """A folder to write files into; it gets its name when they are whole and on the disk."""
    if folder.exists():
        raise CheckpointError(f"{folder} exists already: name another folder, or remove it")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        make(part)
        yield part
        for file in part.iterdir():
            permit(file)
        put(part, folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(
            f"{folder} cannot be written ({reason}): what was saved before is untouched"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_free(folder: Path) -> bool:
    """Whether there is nothing, or what a run leaves that ended before its first checkpoint."""
    left = ("log.jsonl", "pairs-", ".step-", ".log.jsonl", ".pairs-", LOCK)
    return not folder.exists() or (
        folder.is_dir() and all(file.name.startswith(left) for file in folder.iterdir())
    )


def claim(folder: Path, held: ExitStack) -> bool:
    """Whether the folder is free, and from here on held: until the run ends, or is killed."""
    with suppress(Busy):
        if is_free(folder):
            held.enter_context(alone(folder))
            return is_free(folder)  # still: nobody else can write there
    return False


def steps_in(folder: Path) -> list[Path]:
    """The checkpoints of a run's folder, the oldest first."""
    found = folder.iterdir() if folder.is_dir() else []
    # eight digits and no more: not "step-00000040 copy"
    return sorted(each for each in found if re.fullmatch("step-[0-9]{8}", each.name))


def complete(folder: Path | str, names: list[str] = MODEL_FILES) -> Path:
    """The newest checkpoint of a run's folder, or the folder itself.

    Raises CheckpointError where it lacks one of these files or one may not be read.
    """
    place = [Path(folder), *steps_in(Path(folder))][-1]
    for name in names:
        try:
            (place / name).open("rb").close()
        except (FileNotFoundError, NotADirectoryError):
            kind = "run to go on with" if names == RUN_FILES else "model"
            raise CheckpointError(f"{place} holds no {kind}: {name} is missing") from None
        except OSError as error:  # safetensors would say that it is not there
            raise CheckpointError(f"{place / name} cannot be read: {error.strerror}") from None
    return place


@contextmanager
def readable(place: Path) -> Iterator[None]:
    """Turns whatever goes wrong in reading into one sentence."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # each library has kinds of its own; here all mean the same
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"the checkpoint in {place} cannot be read: {reason}") from None


def training_facts(place: Path) -> dict[str, Any]:
    """What a checkpoint's run.json says of the training: how, how far, how long, and its log."""
    if not (place / "run.json").is_file():
        raise CheckpointError(f"{place} does not say how it was trained: run.json is missing")
    with readable(place):
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        return {name: facts[name] for name in ("training", "step", "seconds", "log")}
