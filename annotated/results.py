"""The recorded runs, results/*.json of the project: they are installed with the package."""

import importlib.metadata
import json
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotated.files import make, write

FOLDER = Path(__file__).parent / "recorded"  # in the repository a link to results/


def names(pattern: str = "*") -> list[str]:
    """The names of the recorded runs that fit a pattern such as "candidate-*", in order.

    Runs in a folder below have its name before their own: "ablation/toy/*".
    """
    found = (path.relative_to(FOLDER).with_suffix("") for path in FOLDER.glob(f"{pattern}.json"))
    return sorted(path.as_posix() for path in found)


def load(name: str) -> dict[str, Any]:
    """The recorded run of that name; raises ValueError where there is none."""
    if name not in names() + names("*/**/*"):
        raise ValueError(f"no recorded run {name!r}: choose from {', '.join(names())}")
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def save(path: Path, words: Sequence[str], **parts: Any) -> None:
    """Record a run: the words of its command, when and on what it ran, and what else is known."""
    record = {
        "name": path.stem,
        "command": shlex.join(words),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "software": software(),
        **parts,
    }
    make(path.parent)
    write(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def hardware() -> str:
    """The processor, how many threads PyTorch uses of it, and the GPU where there is one."""
    import torch  # the runs are read without it

    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = (x for x in cpuinfo.read_text().splitlines() if x.startswith("model name"))
        name = next(named, f":{name}").split(":", 1)[1].strip()
    text = f"{name}, {torch.get_num_threads()} threads"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


def software() -> dict[str, str]:
    """The versions of Python and of the libraries that a score depends on."""
    libraries = ["torch", "tokenizers", "safetensors", "sacrebleu", "numpy"]
    versions = {name: importlib.metadata.version(name) for name in libraries}
    return {"python": platform.python_version(), **versions}


def commit() -> str:
    """The commit of the checkout that the package runs from, with a + where it has changes."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):  # no checkout
        return "unknown"
