"""Charts: lines, bars, points, matrices and alignments, drawn by matplotlib."""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

LEAST = 9  # pixels: a label is never shown smaller; what is too wide then scrolls
INK = "#010203"  # stands for the page's text color: replaced by currentColor in the SVG
PALETTE = ["#3987d6", "#e0752d", "#2f9e6b", "#b05fc4", "#d1495b", "#a98a1d", "#8a8f98"]
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "annotated",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {PALETTE})",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Picture:
    """An SVG with the caption that says what to see in it and a text for those who cannot."""

    svg: str
    caption: str = ""
    alt: str = ""

    def _repr_html_(self) -> str:
        label = escape(self.alt or self.caption, quote=True)
        svg = self.svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="picture"><div>{svg}</div>{caption}</figure>'  # the div scrolls

    def __repr__(self) -> str:
        return f"<Picture: {self.alt or self.caption}>"


def numbers(values: Any) -> np.ndarray:
    """Whatever holds numbers (a list, an array, a tensor with or without gradient), as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=float)


def chart(width: float, height: float, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure of `columns` axes side by side; sizes in inches of 72 points."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **grid)[0]
    return figure, list(axes)


def finish(figure: Figure, caption: str, alt: str) -> Picture:
    """The drawn figure as a Picture: no fixed size, the page's ink, nothing but the svg element."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    svg = buffer.getvalue()
    svg = with_own_ids(svg[svg.index("<svg ") :].replace(INK, "currentColor"))
    inches = figure.get_size_inches()
    size = f'width="{inches[0] * 72:g}pt" height="{inches[1] * 72:g}pt"'
    style = f'style="{widths(svg, inches[0] * 72, inches[0] * 96)}"'
    return Picture(svg.replace(size, style, 1), caption, alt)


def with_own_ids(svg: str) -> str:
    """The SVG with ids of its own, so that many can stand on a page; unused ones are left out."""
    own = "svg" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    return re.sub(r'(?<= id=")|(?<=url\(#)|(?<=href="#)', f"{own}-", svg)


def widths(svg: str, units: float, pixels: float) -> str:
    """The style of an SVG that is `units` wide inside: `pixels`, or what keeps labels readable."""
    sizes = re.findall(r'<text[^>]*?font-size(?:: |=")([\d.]+)', svg)
    least = LEAST * units / min(map(float, sizes)) if sizes else 0
    return f"width: {pixels:.0f}px; min-width: {min(pixels, least):.0f}px"


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Names what the axes show."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def lines(
    series: Mapping[str, tuple[Any, Any]],
    x: str,
    y: str,
    caption: str,
    *,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    marker: str | None = None,
    dashed: Sequence[str] = (),
    dots: Sequence[str] = (),
    legend: str = "best",
    width: float = 6.4,
    height: float = 3.2,
    alt: str = "",
) -> Picture:
    """Curves over one pair of axes.

    series: name -> (xs, ys), each of one length; names in `dashed` are drawn dashed (predictions,
    references), names in `dots` as points alone (what was measured, on its prediction). x and y
    name the axes, with their units. legend "beside" puts the names to the right of the axes, where
    they cover no curve. Few points over a logarithm are named one by one.
    """
    with mpl.rc_context(STYLE):
        figure, (axes,) = chart(width, height)
        for name, (xs, ys) in series.items():
            style = "--" if name in dashed else "none" if name in dots else "-"
            mark = marker or "o" if name in dots else marker
            axes.plot(
                numbers(xs), numbers(ys), linestyle=style, label=name, marker=mark, markersize=4
            )
        if log_x:
            axes.set_xscale("log")
            places = numbers(next(iter(series.values()))[0])
            if len(places) <= 10:
                axes.set_xticks(places, [f"{place:g}" for place in places])
                axes.minorticks_off()
        if log_y:
            axes.set_yscale("log")
        label(axes, title, x, y)
        axes.grid(alpha=0.18, color=INK)
        if len(series) > 1:
            beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            axes.legend(**(beside if legend == "beside" else {"loc": legend}))
        return finish(figure, caption, alt)


def bars(
    values: Mapping[str, float],
    x: str,
    caption: str,
    *,
    title: str = "",
    form: str = "{:g}",
    width: float = 6.4,
    alt: str = "",
) -> Picture:
    """Horizontal bars, one for each name, with the value written beside it (`form`)."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = chart(width, 0.8 + 0.32 * len(values))
        shown = axes.barh(list(values), numbers(list(values.values())), color=PALETTE[0])
        axes.bar_label(shown, [form.format(v) for v in values.values()], padding=4, color=INK)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        if max(values.values()) >= 1e5:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        label(axes, title, x, "")
        return finish(figure, caption, alt)


def tint(matrix: np.ndarray, low: float, high: float, signed: bool) -> np.ndarray:
    """(rows, columns) -> RGBA: strength as opacity, so that the page shines through at zero."""
    span = max(abs(low), abs(high), 1e-12) if signed else max(high - low, 1e-12)
    strength = matrix / span if signed else (matrix - low) / span
    positive, negative = to_rgb(PALETTE[0]), to_rgb(PALETTE[1])
    color = np.where((strength >= 0)[..., None], positive, negative)
    return np.concatenate([color, np.clip(np.abs(strength), 0, 1)[..., None]], -1)


def paint(
    axes: Axes,
    matrix: np.ndarray,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    form: str | None,
    limits: tuple[float, float] | None,
    cell: float = 0.0,
) -> None:
    """One matrix on one pair of axes: see `heatmap`. cell: a cell's width in inches."""
    low, high = limits or (min(matrix.min(), 0.0), matrix.max())
    axes.imshow(tint(matrix, low, high, signed=low < 0), aspect="auto", interpolation="nearest")
    if rows is not None:
        axes.set_yticks(range(len(rows)), list(rows))
    if columns is not None:
        turned = max(map(len, columns), default=0) * 0.09 > cell
        axes.set_xticks(range(len(columns)), list(columns), rotation=90 if turned else 0)
    if form is not None:
        for (i, j), value in np.ndenumerate(matrix):
            axes.text(j, i, form.format(value), ha="center", va="center", fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(True)


def heatmap(matrix: Any, caption: str, *, title: str = "", **options: Any) -> Picture:
    """One matrix as colored cells; the options are those of `heatmaps`."""
    return heatmaps({title: matrix}, caption, **options)


def heatmaps(
    matrices: Mapping[str, Any],
    caption: str,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    x: str = "",
    y: str = "",
    form: str | None = None,
    limits: tuple[float, float] | None = None,
    width: float | None = None,
    height: float | None = None,
    alt: str = "",
) -> Picture:
    """Matrices of one shape side by side, title -> matrix, on one color scale.

    Blue is above zero and orange below; zero is the page itself. `form` (such as "{:.2f}") writes
    each value into its cell; rows and columns name them. limits: the values of no and full color.
    """
    arrays = {title: numbers(matrix) for title, matrix in matrices.items()}
    if limits is None:
        everything = np.concatenate([a.ravel() for a in arrays.values()])
        limits = (min(everything.min(), 0.0), everything.max())
    n_rows, n_columns = next(iter(arrays.values())).shape
    width = width or min(8.0, len(arrays) * (1.0 + 0.42 * n_columns))
    height = height or min(6.0, 1.1 + 0.36 * n_rows)
    with mpl.rc_context(STYLE):
        figure, axes = chart(width, height, len(arrays), sharey=True)
        for i, (title, array) in enumerate(arrays.items()):
            cell = (width / len(arrays) - 0.8) / n_columns
            paint(axes[i], array, rows, columns, form, limits, cell)
            label(axes[i], title, x, y if i == 0 else "")
        return finish(figure, caption, alt)


def alignment(
    source: Sequence[str],
    target: Sequence[str],
    links: Sequence[tuple[int, int]],
    caption: str,
    *,
    weights: Any = None,
    title: str = "",
    alt: str = "",
) -> Picture:
    """Which source word each target word answers to.

    links: (source index, target index), outlined; weights (T, S), where given, fill the cells, so
    that what a model attends to can be held against what is true.
    """
    matrix = np.zeros((len(target), len(source))) if weights is None else numbers(weights)
    with mpl.rc_context(STYLE):
        figure, (axes,) = chart(1.4 + 0.42 * len(source), 1.3 + 0.36 * len(target))
        paint(axes, matrix, target, source, None, (0.0, 1.0))
        for s, t in links:
            corner = (s - 0.42, t - 0.42)
            filled = (
                {"facecolor": PALETTE[1], "alpha": 0.75} if weights is None else {"fill": False}
            )
            box = mpl.patches.Rectangle(corner, 0.84, 0.84, edgecolor=PALETTE[1], lw=1.6, **filled)
            axes.add_patch(box)
        axes.set_xticks(range(len(source)), list(source), rotation=90)
        label(axes, title, "source", "target")
        return finish(figure, caption, alt)


def points(
    groups: Mapping[str, Mapping[str, tuple[float, float]]],
    x: str,
    y: str,
    caption: str,
    *,
    title: str = "",
    log_x: bool = False,
    width: float = 6.4,
    height: float = 3.6,
    alt: str = "",
) -> Picture:
    """Points with names, group -> name -> (x, y); a group has a color, a point its name beside it.

    Names may have several lines. x and y name the axes, with their units.
    """
    with mpl.rc_context(STYLE):
        figure, (axes,) = chart(width, height)
        for name, group in groups.items():
            xs, ys = zip(*group.values(), strict=True)
            axes.plot(xs, ys, "o", label=name)
            for word, place in group.items():
                axes.annotate(
                    word, place, (0, 6), textcoords="offset points", ha="center", fontsize=9
                )
        if log_x:
            axes.set_xscale("log")
        axes.margins(x=0.15, y=0.2)
        label(axes, title, x, y)
        axes.grid(alpha=0.18, color=INK)
        if len(groups) > 1:
            axes.legend()
        return finish(figure, caption, alt)


def intervals(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]],
    x: str,
    caption: str,
    *,
    names: Sequence[str],
    zero: float = 0.0,
    limits: tuple[float, float] | None = None,
    width: float = 6.4,
    alt: str = "",
) -> Picture:
    """Values with what they may as well be, (low, value, high): a line for each of the names.

    groups: group -> name -> the three; a group has a color and a place on each line, a value whose
    ends are the same is a point alone, and a name that a group lacks is left out. `zero` is where
    nothing differs; an interval beyond the limits is cut there.
    """
    with mpl.rc_context(STYLE):
        figure, (axes,) = chart(width, 1.0 + 0.12 * len(names) * (len(groups) + 0.6))
        axes.axvline(zero, color=INK, linewidth=0.8, alpha=0.6)
        for i, (group, values) in enumerate(groups.items()):
            shown = [name for name in names if name in values]
            low, middle, high = (numbers([values[name][j] for name in shown]) for j in range(3))
            places = numbers([names.index(name) for name in shown])
            places += (i - (len(groups) - 1) / 2) * 0.7 / len(groups)
            ends = np.stack([middle - low, high - middle])
            color = PALETTE[i % len(PALETTE)]
            axes.errorbar(
                middle, places, xerr=ends, fmt="o", markersize=3.5, label=group, color=color, lw=1.4
            )
        axes.set_yticks(range(len(names)), list(names))
        axes.set_xlim(limits)
        axes.invert_yaxis()
        label(axes, "", x, "")
        axes.grid(alpha=0.18, color=INK, axis="x")
        if len(groups) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(groups))
        return finish(figure, caption, alt)
