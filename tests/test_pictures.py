"""Pictures: every picture is one well-formed SVG that follows the page's ink."""

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from annotated import pictures
from annotated.pictures import charts, diagrams

CHARTS = {
    "lines": lambda: pictures.lines(
        {"a": ([1, 2], [3, 4]), "b": (torch.arange(2), torch.ones(2))},
        x="steps",
        y="loss (nats)",
        caption="Two lines.",
        dashed=["b"],
        log_x=True,
        log_y=True,
    ),
    "bars": lambda: pictures.bars({"one": 1.0, "two": 2e6}, "parameters", "Two bars."),
    "heatmap": lambda: pictures.heatmap(
        torch.randn(2, 3), "A matrix.", rows=["a", "b"], columns=["x", "y", "zoo"], form="{:.1f}"
    ),
    "heatmaps": lambda: pictures.heatmaps({"p": np.eye(2), "q": -np.eye(2)}, "Two matrices."),
    "alignment": lambda: pictures.alignment(["the", "dog"], ["der", "Hund"], [(0, 0)], "Links."),
    "intervals": lambda: pictures.intervals(
        {"a": {"x": (-1.0, 0.0, 2.0), "y": (1.0, 1.0, 1.0)}, "b": {"y": (0.0, 1.0, 3.0)}},
        "a difference",
        "Three intervals.",
        names=["x", "y"],
    ),
    "weighted": lambda: pictures.alignment(
        ["the"], ["der"], [(0, 0)], "Links.", weights=torch.ones(1, 1)
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_and_follows_the_page(name):
    picture = CHARTS[name]()
    ElementTree.fromstring(picture.svg)
    assert "currentColor" in picture.svg
    assert pictures.INK not in picture.svg
    assert "#000000" not in picture.svg and "white" not in picture.svg


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_the_same_every_time(name):
    torch.manual_seed(0)
    one = CHARTS[name]().svg
    torch.manual_seed(0)
    assert CHARTS[name]().svg == one


def ids(svg):
    return [node.get("id") for node in ElementTree.fromstring(svg).iter() if node.get("id")]


def test_two_charts_on_a_page_share_no_id():
    shown = ids(CHARTS["lines"]().svg) + ids(CHARTS["bars"]().svg) + ids(CHARTS["weighted"]().svg)
    assert shown and len(set(shown)) == len(shown)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_names_what_it_uses_and_nothing_else(name):
    svg = CHARTS[name]().svg
    assert sorted(ids(svg)) == sorted(set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)))


def font_sizes(svg):
    return [float(size) for size in re.findall(r'<text[^>]*?font-size(?:: |=")([\d.]+)', svg)]


@pytest.mark.parametrize("name", CHARTS)
def test_a_label_is_never_shown_under_nine_pixels(name):
    svg = CHARTS[name]().svg
    least = float(re.search(r"min-width: (\d+)px", svg)[1])
    unit = least / float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert min(font_sizes(svg)) * unit == pytest.approx(9, abs=0.1)


def test_on_the_page_a_picture_has_a_caption_and_words_for_those_who_cannot_see_it():
    html = pictures.Picture(
        '<svg viewBox="0 0 1 1"></svg>', "Less < more", 'A "sign"'
    )._repr_html_()
    assert "<figcaption>Less &lt; more</figcaption>" in html
    assert 'role="img" aria-label="A &quot;sign&quot;"' in html


def test_names_and_values_stand_in_the_chart_as_text():
    svg = CHARTS["heatmap"]().svg
    assert all(f">{word}</text>" in svg for word in ["a", "b", "x", "y", "zoo"])


def test_zero_is_the_page_itself_and_signs_have_colors():
    rgba = charts.tint(np.array([[0.0, 1.0, -0.5]]), -0.5, 1.0, signed=True)
    assert rgba.shape == (1, 3, 4)
    assert rgba[0, :, 3].tolist() == [0, 1, 0.5]
    assert rgba[0, 1, :3].tolist() != rgba[0, 2, :3].tolist()


def test_a_diagram_draws_what_it_is_told():
    sheet = pictures.Diagram(100, 80)
    sheet.box(50, 20, 40, 20, "two\nlines")
    sheet.circle(50, 60, 8, "+")
    sheet.frame(50, 40, 90, 70)
    sheet.arrow((50, 30), (50, 52))
    sheet.text(5, 5, "a < b", anchor="start")
    root = ElementTree.fromstring(sheet.picture("A diagram.").svg)
    kinds = [child.tag.split("}")[1] for child in root]
    assert kinds.count("rect") == 2 and kinds.count("text") == 4
    assert kinds.count("path") == kinds.count("polygon") == kinds.count("circle") == 1


def test_an_arrow_points_where_it_goes():
    tip = diagrams.arrow_head((0, 0), (10, 0), size=4)
    assert 'points="10.0,0.0 6.0,2.0 6.0,-2.0"' in tip


def test_points_writes_every_name_and_both_axes():
    groups = {"old": {"one": (1.0, 2.0), "two\nlines": (10.0, 3.0)}, "new": {"three": (5.0, 4.0)}}
    svg = pictures.points(groups, "cost", "score", "what to see", log_x=True).svg
    for words in ("one", "two", "lines", "three", "cost", "score", "old", "new"):
        assert f">{words}<" in svg
    assert "currentColor" in svg and pictures.INK not in svg


def test_points_of_one_group_have_no_legend():
    svg = pictures.points({"alone": {"one": (1.0, 2.0)}}, "x", "y", "what to see").svg
    assert ">alone<" not in svg


def test_points_refuses_an_empty_group():
    with pytest.raises(ValueError):
        pictures.points({"empty": {}}, "x", "y", "what to see")


def stand_in(norm_first: bool, layers: int = 4):
    """Something with the attributes of a model, as `architecture` reads them."""
    attention = SimpleNamespace(heads=8, query=SimpleNamespace(out_features=512))
    matrices = [SimpleNamespace(in_features=a, out_features=b) for a, b in ((512, 77), (77, 512))]
    network = SimpleNamespace(inner=matrices[0], outer=matrices[1])

    class LayerNorm:
        weight = None

    def stack(names):
        layer = SimpleNamespace(
            named_children=lambda: [(n, network if "feed" in n else attention) for n in names],
            residuals=[
                SimpleNamespace(
                    norm=LayerNorm(), norm_first=norm_first, dropout=SimpleNamespace(p=0.25)
                )
                for _ in names
            ],
        )
        return SimpleNamespace(layers=[layer] * layers, norm=LayerNorm() if norm_first else None)

    class LearnedPositions:
        pass

    return SimpleNamespace(
        embedding=SimpleNamespace(weight=np.zeros((321, 512))),
        positions=LearnedPositions(),
        dropout=SimpleNamespace(p=0.5),
        encoder=stack(["self_attention", "feed_forward"]),
        decoder=stack(["self_attention", "cross_attention", "feed_forward"]),
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_architecture_reads_everything_off_the_model(norm_first):
    picture = pictures.architecture(stand_in(norm_first), "The model.")
    root = ElementTree.fromstring(picture.svg)
    words = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert words.count("LayerNorm") == (7 if norm_first else 5)
    assert words.count("dropout 0.25") == 5 and words.count("dropout 0.5") == 2
    assert words.count("4 ×") == 2 and words.count("learned") == 1
    assert words.count("self-attention") == words.count("feed-forward") == 2
    assert words.count("cross-attention") == words.count("causal, 8 heads of 64") == 1
    assert words.count("512 → 77 → 512") == 2 and "321 × 512, rows times √512" in words


def test_architecture_fits_a_telephone():
    svg = pictures.architecture(stand_in(False)).svg
    assert int(re.search(r"width: 600px; min-width: (\d+)px", svg)[1]) <= 390 - 32  # margins


def test_architecture_puts_the_norm_where_the_model_has_it():
    def order(norm_first):
        svg = pictures.architecture(stand_in(norm_first)).svg
        rows = [n for n in ElementTree.fromstring(svg).iter() if n.tag.endswith("text")]
        left = [(float(n.get("y")), n.text) for n in rows if n.get("x") == "130"]
        return [text for _, text in sorted(left, reverse=True)]  # the encoder from the bottom up

    names = ["self-attention", "feed-forward", "LayerNorm"]
    post, pre = ([text for text in order(first) if text in names] for first in (False, True))
    assert post == ["self-attention", "LayerNorm", "feed-forward", "LayerNorm"]
    assert pre == ["LayerNorm", "self-attention", "LayerNorm", "feed-forward", "LayerNorm"]


def test_a_legend_beside_stands_right_of_the_axes():
    series = {"one": ([0, 1], [0, 1]), "two": ([0, 1], [1, 0])}
    inside = pictures.lines(series, "x", "y", "Lines.").svg
    beside = pictures.lines(series, "x", "y", "Lines.", legend="beside").svg
    assert inside != beside
    ElementTree.fromstring(beside)


def test_few_points_over_a_logarithm_are_named_one_by_one():
    sizes = [64, 128, 256, 512]
    svg = pictures.lines({"a": (sizes, sizes)}, "D", "y", "A line.", log_x=True).svg
    assert all(f">{size}</text>" in svg for size in sizes)


def test_dots_are_points_without_a_line():
    def lines_drawn(**options) -> int:
        svg = pictures.lines({"measured": ([1, 2, 3], [1, 2, 3])}, "x", "y", "c", **options).svg
        return svg.count(f"stroke: {pictures.PALETTE[0]}; stroke-width: 1.8")

    assert lines_drawn() == 1
    assert lines_drawn(dots=["measured"]) == 0


TREE = [  # the best comes from the second of step 1, and one ends before the last step
    [(0, "<bos>", 0.0, False)],
    [(0, " Zwei", -0.5, False), (0, " Ein", -0.75, False), (0, " <b>", -2.0, False)],
    [(1, " Hund", -1.0, False), (0, " ", -1.5, False), (0, "<eos>", -1.75, True)],
    [(0, "<eos>", -1.25, True), (0, ".", -2.5, False)],
]


def drawn(**options):
    """The groups of a drawn search by their words, and the whole of it."""
    svg = pictures.search_tree(TREE, (3, 0), "A search.", **options).svg
    root = ElementTree.fromstring(svg)
    groups = {}
    for group in (node for node in root if node.tag.endswith("}g")):
        token, number = (node.text for node in group if node.tag.endswith("text"))
        groups[token, number] = group
    return groups, svg


def shapes(group, kind):
    return [node for node in group if node.tag.endswith("}" + kind)]


def test_a_search_shows_each_hypothesis_with_its_number():
    groups, svg = drawn()
    tokens = ["<bos>", "Zwei", "Ein", "<b>", "Hund", "␣", "<eos>", "<eos>", "."]
    assert sorted(token for token, _ in groups) == sorted(tokens)  # without their spaces
    assert {number for _, number in groups} >= {"0.00", "−0.50", "−1.25"}
    assert "currentColor" in svg and "white" not in svg
    assert ("Ein", "−0.7500") in drawn(form="{:.4f}")[0]


def test_a_search_fades_what_led_nowhere():
    groups, _ = drawn()
    faint = {token for (token, _), group in groups.items() if group.get("opacity")}
    assert faint == {"<b>", "␣"}


def test_a_search_frames_twice_what_has_ended():
    groups, _ = drawn()
    twice = [token for (token, _), group in groups.items() if len(shapes(group, "rect")) == 2]
    assert twice == ["<eos>", "<eos>"]


def test_a_search_colors_the_way_to_the_best_and_draws_it_over_the_rest():
    groups, _ = drawn()

    def colors(group):
        return {node.get("stroke") for node in group if node.get("stroke")}

    best = [("<bos>", "0.00"), ("Ein", "−0.75"), ("Hund", "−1.00"), ("<eos>", "−1.25")]
    assert list(groups)[-4:] == best
    for key, group in groups.items():
        others = {pictures.PALETTE[0], "currentColor"}
        assert colors(group) == ({pictures.PALETTE[1]} if key in best else others)


def test_a_branch_goes_from_its_parent():
    groups, _ = drawn()
    [path] = shapes(groups["Hund", "−1.00"], "path")
    numbers = [float(x) for x in path.get("d").replace("M", "").replace("C", "").split()]
    keys = ("Ein", "−0.75"), ("Hund", "−1.00")
    [parent], [child] = (shapes(groups[key], "rect") for key in keys)
    right = float(parent.get("x")) + float(parent.get("width"))
    assert numbers[0] == pytest.approx(right, abs=0.01)
    assert numbers[-2] == pytest.approx(float(child.get("x")), abs=0.01)
    assert numbers[1] == float(parent.get("y")) + 19 and numbers[-1] == float(child.get("y")) + 19


def test_boxes_of_a_search_do_not_touch():
    groups, _ = drawn()
    boxes = [
        [float(node.get(key)) for key in ("x", "y", "width", "height")]
        for group in groups.values()
        for node in shapes(group, "rect")[:1]
    ]
    for i, (x, y, w, h) in enumerate(boxes):
        for u, v, width, height in boxes[:i]:
            assert x + w < u or u + width < x or y + h < v or v + height < y


def test_ten_steps_of_a_beam_of_four_fit_on_a_page():
    words = ["Zwei", "Hunde", "spielen", "im", "tiefen", "Schnee", "."]
    levels = [[(0, "<bos>", 0.0, False)]]
    for t in range(1, 11):
        levels.append([(0, words[t % 7], -10.25, False)] * 4)
    svg = pictures.search_tree(levels, (10, 0), "A search.").svg
    assert float(ElementTree.fromstring(svg).get("viewBox").split()[2]) <= 760


@pytest.mark.parametrize("best", [(4, 0), (3, 2), (-1, 0)])
def test_a_search_has_the_hypothesis_that_is_called_the_best(best):
    with pytest.raises(ValueError, match="no hypothesis"):
        pictures.search_tree(TREE, best, "A search.")


def test_an_interval_is_as_long_as_it_is_wide_and_a_point_has_none():
    values = {"x": (-1.0, 0.0, 2.0), "y": (1.0, 1.0, 1.0)}
    drawn = pictures.intervals({"a": values}, "", "", names=["x", "y"], limits=(-4, 4)).svg
    path = rf'd="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) \2\s+"[^>]*stroke: {charts.PALETTE[0]}'
    x, y = (float(end) - float(start) for start, _, end in re.findall(path, drawn))
    grid = r'd="M ([\d.]+) [\d.]+\s+L \1 [\d.]+\s+"[^>]*stroke-opacity: 0.18'
    one, two, *_ = map(float, re.findall(grid, drawn))
    assert x == pytest.approx(3 * (two - one), rel=0.01) and y == 0


def test_intervals_refuse_a_value_outside_its_ends():
    with pytest.raises(ValueError):
        pictures.intervals({"a": {"x": (1.0, 0.0, 2.0)}}, "", "", names=["x"])


# Trees


def node(label, *children):
    return SimpleNamespace(label=label, children=children)


DET, NOUN, VERB = node("DT", "the"), node("NN", "<dog>"), node("VB", "sings")
GOLD = node("S", node("NP", DET, NOUN), node("VP", VERB))
FLAT = node("S", node("NP", DET), node("NN", "<dog>"), node("VP", node("VP", VERB)))


def drawn_trees(**shown):
    """The words of each drawn tree, the number of its boxes and thick lines, and the sheet."""
    sheet = ElementTree.fromstring(pictures.trees(shown, "Trees.").svg)
    parts = [
        (
            [each.text for each in group.iter() if each.tag.endswith("}text")],
            len(shapes(group, "rect")),
            sum(line.get("stroke") == pictures.PALETTE[1] for line in shapes(group, "path")),
        )
        for group in sheet
    ]
    return parts, sheet


def test_a_tree_shows_its_labels_and_words_and_marks_nothing():
    [(words, boxes, thick)], _ = drawn_trees(gold=GOLD)
    assert sorted(words) == sorted("gold S NP DT the NN <dog> VP VB sings".split())
    assert boxes == thick == 0
    svg = pictures.trees({"": GOLD}, "A tree.").svg
    assert "currentColor" in svg and "white" not in svg


def test_of_two_trees_is_marked_what_only_one_has():
    ((_, boxes, thick), (_, others, lines)), _ = drawn_trees(gold=GOLD, ours=FLAT)
    assert (boxes, thick) == (1, 2)  # the noun phrase over two words
    assert (others, lines) == (2, 2)  # that over one, and the second of two verb phrases
    (_, none, _), _ = drawn_trees(gold=GOLD, ours=GOLD)[0]
    assert none == 0


def test_a_tag_that_differs_is_marked():
    other = node("S", node("NP", DET, node("JJ", "<dog>")), node("VP", VERB))
    assert [boxes for _, boxes, _ in drawn_trees(gold=GOLD, ours=other)[0]] == [1, 1]


def test_words_stand_in_a_row_and_labels_above_what_they_hold():
    [_], sheet = drawn_trees(gold=GOLD)
    place = {each.text: each for each in sheet.iter() if each.tag.endswith("}text")}
    x, y = ({w: float(each.get(axis)) for w, each in place.items()} for axis in "xy")
    assert y["the"] == y["<dog>"] == y["sings"] > y["DT"] == y["VB"] > y["NP"] > y["S"]
    assert x["the"] < x["NP"] < x["<dog>"] < x["sings"]


def test_wide_trees_stand_one_below_the_other():
    wide = node("S", *[node("NN", "transcription")] * 5)
    for shown, apart in (GOLD, (True, False)), (wide, (False, True)):
        _, (first, second) = drawn_trees(gold=shown, ours=shown)
        places = (each.get("transform")[10:-1].split() for each in (first, second))
        (left, top), (right, bottom) = (map(float, each) for each in places)
        assert (right > left, bottom > top) == apart


def test_a_word_alone_is_a_tree():
    [(words, *_)], _ = drawn_trees(gold=NOUN)
    assert words == ["gold", "<dog>", "NN"]
