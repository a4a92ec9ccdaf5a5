"""The recorded runs, results/*.json of the project: they are installed with the package."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded"  # in the repository a link to results/


def names(pattern: str = "*") -> list[str]:
    """The names of the recorded runs that fit a pattern such as "candidate-*", in order."""
    return sorted(path.stem for path in FOLDER.glob(f"{pattern}.json"))


def load(name: str) -> dict[str, Any]:
    """The recorded run of that name; raises ValueError where there is none."""
    if name not in names():
        raise ValueError(f"no recorded run {name!r}: choose from {', '.join(names())}")
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
