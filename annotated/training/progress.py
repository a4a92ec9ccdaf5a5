"""A training run while it lasts: its log as JSON lines, its curves in a terminal or a notebook.

`training.train` calls `show(row)` after every step. A row has step, seconds and loss; a row of the
log has learning_rate and tokens_per_second too, and after a validation what that says, such as
validation_loss and validation_bleu. Log, Terminal and Notebook are called with such rows.
"""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

from annotated import pictures
from annotated.files import make, write

Row = Mapping[str, float]
CURVES = {  # key in a row -> its name and how its values are written; drawn in this order
    "loss": ("loss", "{:.3f}"),
    "learning_rate": ("learning rate", "{:.2e}"),
    "tokens_per_second": ("tokens/s", "{:,.0f}"),
    "validation_bleu": ("validation BLEU", "{:.1f}"),
    "validation_f1": ("validation F1", "{:.1f}"),
    "validation_loss": ("validation loss", "{:.3f}"),
}
PANELS = {  # the y axis of each picture in a notebook -> the curves in it
    "loss (nats a token)": ("loss", "validation_loss"),
    "learning rate": ("learning_rate",),
    "tokens per second": ("tokens_per_second",),
    "validation BLEU": ("validation_bleu",),
    "validation F1": ("validation_f1",),
}
BLOCKS = "▁▂▃▄▅▆▇█"


def is_logged(row: Row) -> bool:
    """Whether a row belongs to the log: most have nothing but the loss of their step."""
    return "learning_rate" in row


def column(rows: Iterable[Row], key: str) -> list[float]:
    """What the rows that have `key` say of it."""
    return [row[key] for row in rows if key in row]


class Log:
    """The log as a file of JSON lines, one for each row, written as it comes.

    With `rows`, the file holds just these at first: a run that is resumed passes what its
    checkpoint holds, so that nothing from after the checkpoint stays. Without, what is in the file
    is kept, except a last line that was cut off.
    """

    def __init__(self, path: Path | str, rows: Iterable[Row] | None = None):
        self.path = Path(path)
        if rows is None:
            rows = read_log(self.path) if self.path.exists() else []
        make(self.path.parent)
        write(self.path, "".join(json.dumps(dict(row)) + "\n" for row in rows))

    def __call__(self, row: Row) -> None:
        """Append the row, if it is one of the log."""
        if is_logged(row):
            with self.path.open("a", encoding="utf-8") as file:  # closed, and so flushed
                file.write(json.dumps(dict(row)) + "\n")


def read_log(path: Path | str) -> list[dict[str, float]]:
    """The rows of a file that Log wrote; a last line that was cut off is left out.

    Raises ValueError where another line is damaged.
    """
    rows = []
    lines = Path(path).read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"line {number} of {path} is not a row of a log") from None
    return rows


def spark(values: Sequence[float], width: int) -> str:
    """The values as `width` block characters, from the lowest at ▁ to the highest at █.

    Where there are more values than characters, each shows the mean of its share; where there are
    fewer, a value takes several. What is not finite is left out, and its place blank if nothing
    else is there. A constant series lies in the middle.
    """
    n = len(values)
    if n == 0 or width <= 0:
        return " " * max(width, 0)
    heights: list[float | None] = []
    for place in range(width):
        start = place * n // width
        share = values[start : max(start + 1, (place + 1) * n // width)]
        finite = [value for value in share if math.isfinite(value)]
        heights.append(sum(finite) / len(finite) if finite else None)
    known = [height for height in heights if height is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)

    def block(height: float) -> str:
        share = (height - low) / (high - low) if high > low else 0.5
        return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]

    return "".join(" " if height is None else block(height) for height in heights)


def curve(key: str, rows: Iterable[Row], width: int) -> str:
    """One line of `width` characters at most: name, first value, curve, last value.

    Where that is too much, the first value goes, and then the curve.
    """
    name, form = CURVES[key]
    series = column(rows, key)
    first, last = form.format(series[0]), form.format(series[-1])
    if width >= 46:
        return f"{name:15} {first:>9}  {spark(series, width - 38)}  {last:>9}"
    if width >= 35:
        return f"{name:15} {spark(series, width - 26)} {last:>9}"
    return f"{name} {last}"[: max(width, 0)]


def sentence(row: Row) -> str:
    """A row of the log as one plain line."""
    words = [f"step {row['step']:>6}  {row['seconds'] / 60:5.1f} min"]
    for key in ("loss", "validation_loss", "validation_bleu", "validation_f1"):
        if key in row:
            name, form = CURVES[key]
            words.append(f"{name} {form.format(row[key])}")
    words.append(f"{row['tokens_per_second']:,.0f} tokens/s")
    return "  ".join(words)


def room(file: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal that `file` writes to, as far as is known."""
    try:
        columns, lines = os.get_terminal_size(file.fileno())
    except OSError:
        columns, lines = shutil.get_terminal_size()
    return columns, lines


def can_redraw(file: TextIO) -> bool:
    """Whether `file` is a terminal with a size and with a cursor that goes up.

    The terminal of a notebook's ! command has no such cursor.
    """
    if os.environ.get("TERM") == "dumb" or "JPY_PARENT_PID" in os.environ:
        return False
    return file.isatty() and min(room(file)) > 0


class Terminal:
    """A run on standard error: a progress bar, and under it a curve for each thing that is logged.

    The bar moves at every step, the curves are drawn anew, in place, with each row of the log.
    Where nothing can be redrawn, as in a file, each row of the log is one plain line.

    steps: of the whole run; step: how many a resumed run has done; rows: what it has logged.
    """

    def __init__(
        self, steps: int, step: int = 0, rows: Iterable[Row] = (), file: TextIO | None = None
    ):
        self.steps, self.step, self.rows = steps, step, list(rows)
        self.file = sys.stderr if file is None else file
        self.redraws = can_redraw(self.file)
        self.lines: dict[str, tqdm] = {}  # key of a curve -> its line

    def __enter__(self) -> Self:
        self.bar = tqdm(
            total=self.steps,
            initial=self.step,
            unit="step",
            file=self.file,
            disable=not self.redraws,
            position=0,
            dynamic_ncols=True,
            miniters=1,
            smoothing=0,  # the time left by the mean speed, the stops for validation included
        )
        self.draw()
        return self

    def __call__(self, row: Row) -> None:
        """Show one step, and what is logged of it."""
        if not self.redraws:
            if is_logged(row):
                print(sentence(row), file=self.file, flush=True)
            return
        if is_logged(row):
            self.rows.append(row)
        speed = column(self.rows[-1:], "tokens_per_second")
        words = [f"loss {row['loss']:.3f}", *(f"{tokens:,.0f} tokens/s" for tokens in speed)]
        self.bar.set_postfix_str(", ".join(words), refresh=False)
        self.bar.update(row["step"] - self.bar.n)
        if is_logged(row):
            self.draw()

    def draw(self) -> None:
        """All curves anew, each on a line of its own, as many as the terminal has room for."""
        if not self.redraws:
            return
        columns, lines = room(self.file)
        for key in CURVES:
            if not column(self.rows, key):
                continue
            words = curve(key, self.rows, columns - 1)  # in the last column some wrap
            if key in self.lines:
                self.lines[key].set_description_str(words)
            elif len(self.lines) < lines - 2:
                place = len(self.lines) + 1
                self.lines[key] = tqdm(
                    desc=words, bar_format="{desc}", file=self.file, position=place, leave=True
                )

    def __exit__(self, *error: object) -> None:
        """Leave the last state on the screen, and the cursor under it."""
        for line in [self.bar, *self.lines.values()]:
            line.close()


class Notebook:
    """A run in a notebook: one picture of its curves, drawn anew as rows of the log come.

    Drawing takes a small share of the time; the last state stays in the notebook. Use it as a
    context manager, so that the last state is drawn however the run ends.

    steps: of the whole run; step: how many a resumed run has done; rows: what it has logged.
    """

    SHARE = 0.05  # of the time goes to drawing, at most

    def __init__(self, steps: int, step: int = 0, rows: Iterable[Row] = ()):
        try:
            from IPython.display import HTML, display
        except ImportError:
            raise ImportError(
                "Notebook draws with IPython, which is not here: pip install jupyterlab"
            ) from None
        self.steps, self.step, self.rows = steps, step, list(rows)
        self.html, self.display = HTML, display
        self.handle: Any = None  # of the picture in the notebook
        self.drawn = len(self.rows)  # rows that the picture shows
        self.next = 0.0  # when it may be drawn again, in seconds

    def __enter__(self) -> Self:
        return self

    def __call__(self, row: Row) -> None:
        """Draw the picture anew if the row is one of the log and the last drawing is a while ago.

        The row of the last step is always drawn.
        """
        if is_logged(row):
            self.rows.append(row)
            if time.perf_counter() >= self.next or row["step"] >= self.steps:
                self.draw()

    def draw(self) -> None:
        """The picture of all rows so far, in the place of the one before."""
        began = time.perf_counter()
        picture = self.html(panels(self.rows, self.steps))
        if self.handle is None:
            self.handle = self.display(picture, display_id=True)
        else:
            self.handle.update(picture)
        self.drawn = len(self.rows)
        now = time.perf_counter()
        self.next = now + max(1.0, (now - began) / self.SHARE)

    def __exit__(self, *error: object) -> None:
        """Draw what has come since the last drawing."""
        if self.drawn < len(self.rows):
            self.draw()


def panels(rows: Sequence[Row], steps: int) -> str:
    """Up to four pictures side by side as one figure in HTML, and under them how far the run is."""
    drawn = []
    for y, keys in PANELS.items():
        series = {}
        for key in keys:
            having = [row for row in rows if key in row]
            if having:
                series[CURVES[key][0]] = (column(having, "step"), column(having, key))
        if "validation loss" in series:  # beside it, "loss" alone would be unclear
            series = {"training": series["loss"], "validation": series["validation loss"]}
        if series:
            few = all(len(ys) <= 30 for _, ys in series.values())
            marker = "o" if few else None
            drawn.append(
                pictures.lines(series, "step", y, "", marker=marker, width=3.5, height=2.1)
            )
    caption = (
        f"Step {rows[-1]['step']:,} of {steps:,}, after {rows[-1]['seconds'] / 60:.1f} minutes."
    )
    last = {key: shown[-1] for key in CURVES if (shown := column(rows, key))}
    told = ", ".join(f"{CURVES[key][0]} {CURVES[key][1].format(last[key])}" for key in last)
    return (
        f'<figure class="picture"><div role="img" aria-label="{escape(caption)} Last: {told}.">'
        f"{' '.join(picture.svg for picture in drawn)}</div>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
