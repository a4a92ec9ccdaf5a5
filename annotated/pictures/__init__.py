"""The book's pictures: inline SVG whose ink follows the page, light or dark.

Charts (`lines`, `bars`, `heatmap`, `heatmaps`, `alignment`) are drawn by matplotlib, diagrams
(`Diagram`, `architecture`, `search_tree`) by hand. Each function returns a `Picture`, which a
notebook shows. This module draws numbers and names; it imports none of the others.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

INK = "#010203"  # stands for the page's text color: replaced by currentColor in the SVG
PALETTE = ["#3987d6", "#e0752d", "#2f9e6b", "#b05fc4", "#d1495b", "#a98a1d", "#8a8f98"]
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "annotated",
    "font.family": "sans-serif",
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
        return f'<figure class="picture">{svg}{caption}</figure>'

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
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :].replace(INK, "currentColor")
    inches = figure.get_size_inches()
    size = f'width="{inches[0] * 72:g}pt" height="{inches[1] * 72:g}pt"'
    return Picture(svg.replace(size, f'style="width: {inches[0] * 96:.0f}px"', 1), caption, alt)


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


@dataclass
class Diagram:
    """Boxes and arrows on a sheet of `width` by `height` units, y downwards; 1 unit is 1 pixel.

    Draw with `box`, `text`, `arrow`, `circle` and `frame`, then `picture(caption)`.
    """

    width: float
    height: float
    font: float = 14
    parts: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, w: float, h: float, words: str = "", color: str = PALETTE[0]
    ) -> None:
        """A filled box with its center at (x, y); lines of `words` are divided by newlines."""
        self.parts.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="6" '
            f'fill="{color}" fill-opacity="0.22" stroke="{color}" stroke-width="1.5"/>'
        )
        if words:
            self.text(x, y, words)

    def frame(self, x: float, y: float, w: float, h: float) -> None:
        """A dashed frame around things that belong together, centered at (x, y)."""
        self.parts.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="10" '
            'fill="none" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="5 4"/>'
        )

    def circle(self, x: float, y: float, r: float, words: str = "") -> None:
        """A circle around a sign such as +."""
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="none" stroke="currentColor"/>'
        )
        self.text(x, y, words)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "middle", size: float | None = None
    ) -> None:
        """Words centered on the height y; anchor is start, middle or end of them at x."""
        size = size or self.font
        rows = words.split("\n")
        for i, row in enumerate(rows):
            line = y + (i - (len(rows) - 1) / 2) * size * 1.2
            self.parts.append(
                f'<text x="{x:g}" y="{line:g}" font-size="{size:g}" text-anchor="{anchor}" '
                f'dominant-baseline="central" fill="currentColor">{escape(row)}</text>'
            )

    def arrow(self, *points: tuple[float, float], head: bool = True, dashed: bool = False) -> None:
        """A line through the points, with a head at the last."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.4"{dash}/>'
        )
        if head:
            self.parts.append(arrow_head(points[-2], points[-1]))

    def picture(self, caption: str, alt: str = "") -> Picture:
        """What has been drawn."""
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="width: {self.width:g}px" font-family="sans-serif">' + "".join(self.parts)
        )
        return Picture(svg + "</svg>", caption, alt)


def arrow_head(start: tuple[float, float], end: tuple[float, float], size: float = 8) -> str:
    """A filled triangle at `end`, pointing away from `start`."""
    ahead = np.subtract(end, start) / max(np.hypot(*np.subtract(end, start)), 1e-9)
    aside = np.array([-ahead[1], ahead[0]])
    back = np.array(end) - size * ahead
    corners = [np.array(end), back + 0.5 * size * aside, back - 0.5 * size * aside]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polygon points="{points}" fill="currentColor"/>'


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


BLOCK = 150  # the height of a sub-layer with its residual connection, in an architecture diagram
BLOCK_COLORS = {"self_attention": 0, "cross_attention": 3, "feed_forward": 2}  # of PALETTE


def architecture(model: Any, caption: str = "", alt: str = "") -> Picture:
    """An encoder and a decoder stack, drawn from the model object and read from the bottom up.

    Names, numbers of layers, sizes, dropout and the order of norm and sub-layer are read off the
    modules, so that a different model gives a different picture.
    """
    decoder_layers, ends = model.decoder.layers, 46 * hasattr(model.decoder.norm, "weight")
    bottom = 358 + BLOCK * len(decoder_layers[0].residuals) + ends
    diagram = Diagram(520, bottom)
    left, right, start = 130, 378, bottom - 196
    vocabulary, d_model = model.embedding.weight.shape
    for x, name, length in ((left, "source", "S"), (right, "target, shifted", "T")):
        diagram.text(x, bottom - 12, f"{name} (B, {length})")
        diagram.arrow((x, bottom - 24), (x, bottom - 44))
        diagram.arrow((x, bottom - 92), (x, bottom - 121))
        diagram.circle(x, bottom - 132, 10, "+")
        diagram.arrow((x, bottom - 143), (x, start), head=False)
        edge, anchor = (x - 8, "end") if x == left else (x + 8, "start")
        diagram.text(edge, bottom - 106, f"(B, {length}, {d_model})", anchor=anchor, size=12)
        diagram.text(x + 8, start + 28, f"dropout {model.dropout.p:g}", anchor="start", size=12)
    diagram.box((left + right) / 2, bottom - 68, 430, 46, "", PALETTE[1])
    named(
        diagram,
        (left + right) / 2,
        bottom - 68,
        "embedding",
        f"{vocabulary:,} × {d_model}, rows times √{d_model}",
    )
    diagram.box((left + right) / 2, bottom - 132, 130, 46, "", PALETTE[6])
    kind = type(model.positions).__name__.removesuffix("Positions").lower()
    named(diagram, (left + right) / 2, bottom - 132, "positions", kind)
    diagram.arrow(((left + right) / 2 - 65, bottom - 132), (left + 11, bottom - 132))
    diagram.arrow(((left + right) / 2 + 65, bottom - 132), (right - 11, bottom - 132))
    memory, _ = draw_stack(diagram, model.encoder, left, start, 30, decoder=False)
    top, sublayers = draw_stack(diagram, model.decoder, right, start, 478, decoder=True)
    gutter, cross = 266, sublayers["cross_attention"]
    diagram.arrow(
        (left, memory),
        (left, memory - 20),
        (gutter, memory - 20),
        (gutter, cross),
        (right - 80, cross),
    )
    diagram.text(left - 8, memory - 34, f"memory (B, S, {d_model})")
    diagram.text(gutter - 5, (memory + cross) / 2, "keys,\nvalues", anchor="end", size=12)
    diagram.arrow((right, top), (right, top - 22))
    diagram.box(right, top - 46, 184, 46, "", PALETTE[1])
    named(diagram, right, top - 46, "logits", f"{d_model} × {vocabulary:,}")
    diagram.arrow(
        (469, bottom - 68),
        (510, bottom - 68),
        (510, top - 46),
        (471, top - 46),
        head=False,
        dashed=True,
    )
    diagram.arrow((right, top - 69), (right, top - 90))
    diagram.text(right, top - 103, f"scores (B, T, {vocabulary:,})")
    svg = diagram.picture(caption).svg  # as wide as the page, and never wider than a telephone
    return Picture(svg.replace("width: 520px", "width: 600px; max-width: 100%"), caption, alt)


def named(diagram: Diagram, x: float, y: float, name: str, detail: str) -> None:
    """A name, and in a smaller line below it what it is made of."""
    diagram.text(x, y - 9, name)
    diagram.text(x, y + 10, detail, size=12)


def draw_stack(
    diagram: Diagram, stack: Any, x: float, y: float, side: float, decoder: bool
) -> tuple[float, dict[str, float]]:
    """One layer of the stack from y upwards, in a frame that says how many there are.

    Returns the height at which it ends, and the height of each sub-layer by its name.
    """
    layer, top, heights = stack.layers[0], y, {}
    sublayers = [(n, m) for n, m in layer.named_children() if n != "residuals"]
    for (name, module), residual in zip(sublayers, layer.residuals, strict=True):
        heights[name] = draw_sublayer(diagram, x, top, side, name, residual)
        causal = "causal, " if decoder and name == "self_attention" else ""
        named(diagram, x, heights[name], name.replace("_", "-"), causal + sizes(module))
        top -= BLOCK
    low, high = min(x - 88, side - 8), max(x + 88, side + 8)
    diagram.frame((low + high) / 2, (top + y - 26) / 2, high - low, y - top + 30)
    diagram.text(low + 10, top - 13, f"{len(stack.layers)} ×", anchor="start", size=17)
    diagram.arrow((x, top), (x, top - 30), head=False)
    top -= 30
    if hasattr(stack.norm, "weight"):
        diagram.arrow((x, top), (x, top - 18))
        diagram.box(x, top - 31, 160, 26, type(stack.norm).__name__, PALETTE[5])
        top -= 46
    return top, heights


def draw_sublayer(
    diagram: Diagram, x: float, y: float, side: float, name: str, residual: Any
) -> float:
    """A sub-layer's box, its dropout, its norm and, along x = side, its residual connection.

    Where the norm stands, first or last, is read off the residual. Returns the box's height.
    """
    first = residual.norm_first
    norm, box, plus = (y - 41, y - 90, y - 138) if first else (y - 136, y - 47, y - 95)
    diagram.arrow((x, y - 8), (side, y - 8), (side, plus), (x + (11 if side > x else -11), plus))
    stops = [norm, box, plus] if first else [box, plus, norm]
    half = {norm: 13, box: 23, plus: 10}
    at = y
    for stop in stops:
        diagram.arrow((x, at), (x, stop + half[stop]), head=stop != plus)
        at = stop - half[stop]
    diagram.arrow((x, at), (x, y - BLOCK), head=False)
    diagram.box(x, norm, 160, 26, type(residual.norm).__name__, PALETTE[5])
    diagram.box(x, box, 160, 46, "", PALETTE[BLOCK_COLORS[name]])
    dropout = f"dropout {residual.dropout.p:g}"
    diagram.text(x + 8, (box - 23 + plus + 8) / 2, dropout, anchor="start", size=12)
    diagram.circle(x, plus, 10, "+")
    return box


def sizes(module: Any) -> str:
    """heads × width of an attention, widths of a feed-forward network."""
    if hasattr(module, "heads"):
        return f"{module.heads} heads of {module.query.out_features // module.heads}"
    return f"{module.inner.in_features} → {module.inner.out_features} → {module.outer.out_features}"


Node = tuple[int, str, float, bool]  # of a search: parent, token, number, has it ended
TREE_GAP = 22  # between two columns of a search


def search_tree(
    levels: Sequence[Sequence[Node]],
    best: tuple[int, int],
    caption: str,
    *,
    form: str = "{:.2f}",
    alt: str = "",
) -> Picture:
    """A beam search as it grows from left to right, a column a step, and in it a box a hypothesis.

    levels[t]: the hypotheses that step t kept, each as (its parent's index in levels[t - 1], its
    last token, a number such as its log-probability, whether it has ended); levels[0] is the root
    alone. Ended ones have a double frame, those that led nowhere are faint, and the way to
    best = (t, index) is bold.
    """
    names = [[node[1].strip() or "␣" for node in level] for level in levels]
    values = [[form.format(node[2]).replace("-", "−") for node in level] for level in levels]
    wide = [
        10 + max(*(6.7 * len(name) for name in column), *(6 * len(value) for value in figures))
        for column, figures in zip(names, values, strict=True)
    ]
    left = [2 + sum(wide[:t]) + TREE_GAP * t for t in range(len(levels))]
    diagram = Diagram(left[-1] + wide[-1] + 2, 22 + 46 * max(map(len, levels)), font=12)
    for t in range(len(levels)):
        diagram.text(left[t] + wide[t] / 2, 9, str(t) if t else "step", size=11)
    hopeful, way = kept_alive(levels), way_to(levels, best)
    nodes = [(t, i) for t, level in enumerate(levels) for i in range(len(level))]
    for t, i in sorted(nodes, key=lambda at: (at in way, at in hopeful)):  # the bold one last
        parent, _, _, ended = levels[t][i]
        x, y = left[t] + wide[t] / 2, 40 + 46 * i
        diagram.parts.append("<g>" if (t, i) in hopeful else '<g opacity="0.5">')
        if t:
            draw_branch(diagram, left[t], 40 + 46 * parent, y, (t, i) in way)
        color = PALETTE[1 if (t, i) in way else 0]
        diagram.box(x, y, wide[t], 38, "", color)
        if ended:
            diagram.box(x, y, wide[t] - 6, 32, "", color)
        diagram.text(x, y - 7, names[t][i])
        diagram.text(x, y + 8, values[t][i], size=10)
        diagram.parts.append("</g>")
    return diagram.picture(caption, alt)


def draw_branch(diagram: Diagram, x: float, start: float, end: float, bold: bool) -> None:
    """A curve to a box whose left side is x, at the height `end`, from its parent's right side."""
    middle = x - TREE_GAP / 2
    curve = f"M{x - TREE_GAP:g} {start:g} C{middle:g} {start:g} {middle:g} {end:g} {x:g} {end:g}"
    ink = f'stroke="{PALETTE[1]}" stroke-width="3"' if bold else 'stroke="currentColor"'
    diagram.parts.append(f'<path d="{curve}" fill="none" {ink}/>')


def kept_alive(levels: Sequence[Sequence[Node]]) -> set[tuple[int, int]]:
    """The nodes, as (step, index), from which a way leads to one that ended or to the last step."""
    alive = {(len(levels) - 1, i) for i in range(len(levels[-1]))}
    for t in reversed(range(len(levels))):
        alive |= {(t, i) for i, node in enumerate(levels[t]) if node[3]}
        alive |= {(t - 1, node[0]) for i, node in enumerate(levels[t]) if t and (t, i) in alive}
    return alive


def way_to(levels: Sequence[Sequence[Node]], best: tuple[int, int]) -> set[tuple[int, int]]:
    """The nodes from the root to this one, as (step, index)."""
    t, i = best
    if not (0 <= t < len(levels) and 0 <= i < len(levels[t])):
        raise ValueError(f"there is no hypothesis {i} in step {t}")
    way = set()
    while True:
        way.add((t, i))
        if t == 0:
            return way
        t, i = t - 1, levels[t][i][0]
