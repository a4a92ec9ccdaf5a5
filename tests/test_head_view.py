"""The view into heads: its HTML, and in a browser its keys, pointer, themes and widths."""

import base64
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from annotated import pictures
from tools.markup import tidy

TOKENS = ["The", "<b>old</b>", "dog", "sleeps", "·s", "[end]"]
GERMAN = ["[begin]", "Der", "alte", 'Hund"', "schläft"]
WRITTEN = [*GERMAN[1:], "[end]"]


def looks(layers=2, heads=3):
    torch.manual_seed(0)

    def weights(rows, columns):
        return torch.randn(layers, heads, len(rows), len(columns)).softmax(-1)

    return [
        pictures.Look("encoder", TOKENS, TOKENS, weights(TOKENS, TOKENS)),
        pictures.Look("decoder", GERMAN, GERMAN, weights(GERMAN, GERMAN), WRITTEN),
        pictures.Look("cross-attention", GERMAN, TOKENS, weights(GERMAN, TOKENS), WRITTEN),
    ]


def view(**begin):
    return pictures.head_view(looks(), "A view <of> heads.", **begin)


class Parsed(HTMLParser):
    """Tags as they open and close, and the data of a view."""

    VOID = {"br", "line", "rect", "meta"}

    def __init__(self, html):
        super().__init__()
        self.open, self.data, self.loads = [], None, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.data = json.loads(found["data-heads"]) if "data-heads" in found else self.data
        self.loads += [found[name] for name in ("src", "href") if name in found]
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_its_html_is_whole_and_asks_nobody():
    html = view()._repr_html_()
    parsed = Parsed(html)
    assert parsed.open == [] and parsed.loads == []
    outside = set(re.findall(r"https?://[^\"'\s<]+", html))
    assert outside <= {"http://www.w3.org/2000/svg"}  # the still picture's name of its language
    assert "fetch(" not in html and "import(" not in html and "@import" not in html
    assert "<b>old" not in html  # a word is no HTML


def test_the_data_are_the_weights_to_half_a_byte():
    data = Parsed(view(layer=2, head=3)._repr_html_()).data
    assert data["looks"][0]["rows"] == TOKENS and data["looks"][0]["written"] is None
    assert data["looks"][2]["written"] == WRITTEN
    for look, sent in zip(looks(), data["looks"], strict=True):
        levels = torch.tensor([*base64.b64decode(sent["weights"])]).view(look.weights.shape)
        assert (levels / 255 - look.weights).abs().max() <= 0.5 / 255 + 1e-6
    assert (data["layer"], data["head"], data["word"], data["form"]) == (1, 2, None, 0)


def test_the_script_is_small_and_once_on_a_page():
    html = view()._repr_html_()
    shared = re.findall(r"<(?:style|script) data-once>.*?</(?:style|script)>", html, re.DOTALL)
    assert len(shared) == 2 and sum(map(len, shared)) < 16_000
    page = tidy(html + view(look="decoder")._repr_html_() + html)
    assert page.count("<script") == page.count("<style") == 1
    assert page.count('class="heads"') == page.count("<svg role") == 3
    assert 'id="picture-3"' in page


def test_without_scripts_there_is_a_picture_with_words_for_it():
    html = view(look="cross-attention", word="alte")._repr_html_()
    svg = re.search(r"<svg .*?</svg>", html, re.DOTALL)[0]
    root = ElementTree.fromstring(svg)
    words = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert words == ["cross-attention, layer 1, head 1", *WRITTEN, *TOKENS]
    assert "currentColor" in svg
    lines = [node for node in root if node.tag.endswith("line")]
    assert {line.get("y1") for line in lines} == {"58"}  # those of the second row alone
    assert root.get("role") == "img"
    weights = looks()[2].weights[0, 0, 1]
    best = int(weights.argmax())
    assert f"alte looks at {TOKENS[best]} {weights[best]:.2f}" in root.get("aria-label")


def test_a_thick_line_is_a_large_weight():
    weights = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    still = pictures.head_view([pictures.Look("a", "xy", "uv", weights)], "c").still()
    lines = [node for node in ElementTree.fromstring(still.svg) if node.tag.endswith("line")]
    assert [line.get("stroke-width") for line in lines] == ["6.5", "3.5", "3.5"]
    assert [(line.get("y1"), line.get("y2")) for line in lines][0] == ("36", "58")


@pytest.mark.parametrize(
    "begin, words",
    [
        ({"look": "parser"}, "no attention 'parser': there are encoder, decoder"),
        ({"layer": 3}, "no layer 3: there are 1, 2"),
        ({"head": 0}, "no head 0"),
        ({"word": "cat"}, "no token 'cat'"),
        ({"form": "circle"}, "no form 'circle': there are lines, matrix"),
    ],
)
def test_it_begins_with_what_there_is(begin, words):
    with pytest.raises(ValueError, match=words):
        view(**begin)


def test_weights_fit_their_words():
    with pytest.raises(ValueError, match="weights of a do not fit"):
        pictures.head_view([pictures.Look("a", "xyz", "uv", torch.zeros(1, 1, 2, 2))], "c")
    with pytest.raises(ValueError, match="weights of a do not fit"):
        pictures.head_view([pictures.Look("a", "xy", "uv", torch.zeros(1, 2, 2))], "c")
    with pytest.raises(ValueError, match="weights of a do not fit"):
        pictures.head_view([pictures.Look("a", "xy", "uv", torch.zeros(1, 1, 2, 2), "w")], "c")


# --- in a browser --------------------------------------------------------------------------------

THEME = Path(__file__).resolve().parent.parent / "tools" / "theme" / "book.css"
PAGE = """<!DOCTYPE html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="color-scheme" content="light dark"><meta name="viewport" content="width=device-width">
<title>Heads</title><style>{css} body {{ margin: 16px; background: {ground}; color: {ink};
--pst-color-text-base: {ink}; --pst-color-text-muted: {ink}; }}</style></head><body>
<main class="bd-article"><h1>Heads</h1>{views}</main></body></html>"""
GROUNDS = {"light": ("#fff", "#222832"), "dark": ("#121212", "#ced6dd")}
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)))"


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-pages")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except sync.Error:
            pytest.skip("no Chromium: make chromium")
        yield found
        found.close()


@pytest.fixture
def visit(browser):
    tabs = []

    def open_page(*views, theme="light", width=1440, **options):
        tab = browser.new_page(viewport={"width": width, "height": 900}, **options)
        tabs.append(tab)
        tab.faults = []
        tab.on("console", lambda said: said.type == "error" and tab.faults.append(said.text))
        tab.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.on("request", lambda request: tab.faults.append(request.url))
        ground, ink = GROUNDS[theme]
        html = "".join(each._repr_html_() for each in views)
        css = THEME.read_text("utf8")
        tab.set_content(PAGE.format(theme=theme, css=css, ground=ground, ink=ink, views=html))
        return tab

    yield open_page
    for tab in tabs:
        assert tab.faults == []
        tab.close()


def said(tab):
    return tab.inner_text(".said")


def pressed(tab, inside):
    return tab.eval_on_selector_all(
        f'{inside} button[aria-pressed="true"]', "all => all.map((each) => each.textContent)"
    )


def test_keys_move_word_head_and_layer(visit):
    tab = visit(view(look="decoder"))
    tab.focus(".rows button")
    tab.keyboard.press("ArrowDown")
    assert pressed(tab, ".rows") == ["Der"] and "“Der” looks at" in said(tab)
    tab.keyboard.press("ArrowDown")
    assert pressed(tab, ".rows") == ["alte"]
    assert tab.evaluate("document.activeElement.textContent") == "alte"
    weights = looks()[1].weights[0, 0, 1]
    best = int(weights.argmax())
    assert f"“{GERMAN[best]}” {round(weights[best].item() * 255) / 255:.2f}" in said(tab)
    tab.keyboard.press("ArrowRight")
    assert pressed(tab, ".all") == ["head 2"] and said(tab).startswith("Layer 1, head 2: “alte”")
    tab.keyboard.press("PageDown")
    assert said(tab).startswith("Layer 2, head 2: “alte”")
    assert tab.evaluate("document.activeElement.textContent") == "alte"
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert pressed(tab, ".all") == ["head 3"]
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    assert pressed(tab, ".rows") == ["[end]"]  # from the first to the last
    tab.keyboard.press("Escape")
    assert pressed(tab, ".rows") == [] and said(tab).count("looks at") == 4


def test_the_focus_is_seen_and_reaches_every_part(visit):
    tab = visit(view(look="cross-attention"))
    tab.focus("select")
    seen = ["SELECT"]
    for _ in range(6):
        tab.keyboard.press("Tab")
        where = "document.activeElement.closest('.rows, .columns, .all')?.className"
        seen.append(tab.evaluate(f"{where} ?? document.activeElement.tagName"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen == ["SELECT"] * 4 + ["all", "rows", "columns"]


def test_a_pointer_singles_out_a_word_a_head_and_a_cell(visit):
    tab = visit(view())
    tab.click(".columns button >> nth=2")
    assert "“dog” is looked at by" in said(tab)
    assert tab.locator("svg line").count() <= len(TOKENS)
    tab.click(".columns button >> nth=2")  # once more: all again
    assert tab.locator("svg line").count() > len(TOKENS)
    tab.hover(".rows button >> nth=1")
    assert "“<b>old</b>” looks at" in said(tab)
    tab.mouse.move(2, 2)
    assert said(tab).count("looks at") == 4
    tab.click(".all button >> nth=2")
    assert said(tab).startswith("Layer 1, head 3")
    tab.select_option("label:has-text('drawn as') select", "a matrix")
    assert tab.locator("svg rect").count() > 3
    box = tab.locator("svg.between").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 3.5 / 6)
    assert re.search(r"head 3: “sleeps” looks at “dog” 0\.\d\d\.$", said(tab))


def test_a_finger_does_the_same(visit):
    tab = visit(view(), width=390, has_touch=True)
    tab.tap(".rows button >> nth=2")
    assert "“dog” looks at" in said(tab)
    tab.tap(".all button >> nth=1")
    assert said(tab).startswith("Layer 1, head 2: “dog”")


def test_attention_layer_and_names_are_chosen(visit):
    tab = visit(view())
    assert tab.locator("label:has-text('a row is')").is_hidden()
    tab.select_option("label:has-text('attention') select", "cross-attention")
    assert tab.locator(".rows button").all_inner_texts() == WRITTEN
    assert tab.locator(".columns button").all_inner_texts() == TOKENS
    tab.select_option("label:has-text('a row is') select", "reads")
    assert tab.locator(".rows button").all_inner_texts() == GERMAN
    tab.select_option("label:has-text('layer') select", "2")
    assert said(tab).startswith("Layer 2") and tab.locator("canvas").count() == 3


def test_a_word_that_is_asked_for_is_singled_out(visit):
    tab = visit(view(look="decoder", word="alte", head=2), view(form="matrix"))
    assert pressed(tab, "figure:nth-of-type(1) .rows") == ["alte"]
    assert tab.locator(".heads[data-live]").count() == 2
    assert tab.locator(".heads >> nth=1").locator(".matrix").count() == 1


@pytest.mark.parametrize("theme", GROUNDS)
@pytest.mark.parametrize("form", ["lines", "matrix"])
def test_nothing_is_too_wide_or_too_small_and_axe_finds_no_fault(visit, theme, form):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe")
    many = [f"word{i}" for i in range(24)]
    long = pictures.Look("encoder", many, many, torch.rand(1, 16, 24, 24))
    tab = visit(
        view(form=form, word="dog"), pictures.head_view([long], "Many.", form=form), theme=theme
    )
    for width in (1440, 820, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.evaluate(DRAWN)
        assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")
    short = "document.querySelector('.heads')"
    assert tab.evaluate(f"{short}.scrollWidth <= {short}.clientWidth + 1")
    sizes = tab.eval_on_selector_all(
        ".heads :is(button, p, label)",
        "all => all.map((each) => parseFloat(getComputedStyle(each).fontSize))",
    )
    assert min(sizes) >= 12
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    found = axe.Axe().run(tab, options={"runOnly": {"type": "tag", "values": tags}}).response
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []


def test_on_paper_nothing_asks_to_be_pressed(visit):
    tab = visit(view())
    tab.emulate_media(media="print")
    assert not tab.locator(".keys").is_visible() and tab.locator("select").first.is_visible()
    style = tab.locator("select").first.evaluate("e => getComputedStyle(e).appearance")
    assert style == "none"


def test_without_scripts_the_still_picture_stays(visit):
    tab = visit(view(), java_script_enabled=False)
    assert tab.locator("figure svg[role=img]").count() == 1
    assert tab.locator("button").count() == 0
