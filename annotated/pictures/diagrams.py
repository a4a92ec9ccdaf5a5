"""Diagrams: shapes, arrows and words, written as SVG by hand."""

from dataclasses import dataclass, field
from html import escape

import numpy as np

from annotated.pictures.charts import PALETTE, Picture, widths


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
        drawn = "".join(self.parts)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="{widths(drawn, self.width, self.width)}" font-family="sans-serif">{drawn}'
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
