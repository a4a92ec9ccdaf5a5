"""What a benchmark leaves behind: a table for the reader, and a record."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from annotated import results


class UserError(Exception):
    """Something that the user can mend: one sentence."""


def say(sentence: str) -> None:
    """Progress goes to standard error."""
    print(sentence, file=sys.stderr, flush=True)


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows under their keys, numbers to the right."""
    heads = list(rows[0])
    cells = [[shown(row.get(head, "")) for head in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    left = [isinstance(value, str) for value in rows[0].values()]

    def line(words: Sequence[str]) -> str:
        padded = zip(words, widths, left, strict=True)
        return "  ".join(w.ljust(n) if at_left else w.rjust(n) for w, n, at_left in padded)

    return "\n".join([title, line(heads), line(["-" * n for n in widths]), *map(line, cells)])


def shown(value: Any) -> str:
    """A number with as many digits as it deserves."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rounded(value: Any) -> Any:
    """The same, with floats to five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def write(path: Path, words: Sequence[str], **parts: Any) -> None:
    """Write a record with the keys of those that `annotated train --record` writes.

    `words`: the arguments after `python -m tools.bench`; `parts`: commit, data, config, seconds,
    curve, scores.
    """
    versions = results.software()
    with suppress(PackageNotFoundError):
        versions["transformers"] = version("transformers")
    words = ["python", "-m", "tools.bench", *words]
    results.save(path, words, **{"software": versions} | rounded(parts))
