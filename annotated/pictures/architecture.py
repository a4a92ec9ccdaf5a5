"""A Transformer as the paper's Figure 1 shows it, drawn from the module itself."""

from typing import Any

from annotated.pictures.charts import PALETTE, Picture
from annotated.pictures.diagrams import Diagram

BLOCK = 150  # the height of a sub-layer with its residual connection, in an architecture diagram
BLOCK_COLORS = {"self_attention": 0, "cross_attention": 3, "feed_forward": 2}  # of PALETTE


def architecture(model: Any, caption: str = "", alt: str = "") -> Picture:
    """An encoder and a decoder stack, drawn from the model object and read from the bottom up.

    Names, numbers of layers, sizes, dropout and the order of norm and sub-layer are read off the
    modules, so that a different model gives a different picture.
    """
    decoder_layers, ends = model.decoder.layers, 46 * hasattr(model.decoder.norm, "weight")
    bottom = 358 + BLOCK * len(decoder_layers[0].residuals) + ends
    diagram = Diagram(516, bottom)  # readable on a telephone, without scrolling
    left, right, start = 130, 378, bottom - 196
    vocabulary, d_model = model.embedding.weight.shape
    for x, name, length in ((left, "source", "S"), (right, "target, shifted", "T")):
        diagram.text(x, bottom - 12, f"{name} (B, {length})")
        diagram.arrow((x, bottom - 24), (x, bottom - 44))
        diagram.arrow((x, bottom - 92), (x, bottom - 121))
        diagram.circle(x, bottom - 132, 10, "+")
        diagram.arrow((x, bottom - 143), (x, start), head=False)
        edge, anchor = (x - 8, "end") if x == left else (x + 8, "start")
        diagram.text(edge, bottom - 106, f"(B, {length}, {d_model})", anchor=anchor, size=13)
        diagram.text(x + 8, start + 28, f"dropout {model.dropout.p:g}", anchor="start", size=13)
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
    diagram.text(gutter - 5, (memory + cross) / 2, "keys,\nvalues", anchor="end", size=13)
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
    svg = diagram.picture(caption).svg  # as wide as the page
    return Picture(svg.replace("width: 516px", "width: 600px"), caption, alt)


def named(diagram: Diagram, x: float, y: float, name: str, detail: str) -> None:
    """A name, and in a smaller line below it what it is made of."""
    diagram.text(x, y - 9, name)
    diagram.text(x, y + 10, detail, size=13)


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
    diagram.text(x + 8, (box - 23 + plus + 8) / 2, dropout, anchor="start", size=13)
    diagram.circle(x, plus, 10, "+")
    return box


def sizes(module: Any) -> str:
    """heads × width of an attention, widths of a feed-forward network."""
    if hasattr(module, "heads"):
        return f"{module.heads} heads of {module.query.out_features // module.heads}"
    return f"{module.inner.in_features} → {module.inner.out_features} → {module.outer.out_features}"
