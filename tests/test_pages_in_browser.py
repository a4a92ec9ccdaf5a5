"""The built pages in a real browser, as their readers meet them: make test-pages.

Each page is visited once in a theme; axe looks at it in the light as wide as a telephone, in the
dark as wide as a desk, all unfolded. The pages come as they lie in the folder, not compressed.
"""

import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sync = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-pages")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe")

BOOK = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = sorted(
    path.relative_to(BOOK).as_posix()
    for path in BOOK.rglob("*.html")
    if "_static" not in path.parts and 'http-equiv="refresh"' not in path.read_text("utf8").lower()
)
WIDTHS = (1440, 820, 390)
HEAVIEST = 1_500_000  # bytes of a first load
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=BOOK))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Chromium: the one that CHROMIUM names, the system's, or Playwright's own."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture
def visit(browser, address):
    """Opens a page in a tab of its own, whose caches are empty, and waits for its equations."""
    tabs = []

    def open_page(name, *, theme="light", width=1440, **options):
        size = {"width": width, "height": 900}
        tab = browser.new_page(
            viewport=size, color_scheme=theme, reduced_motion="reduce", **options
        )
        tabs.append(tab)
        tab.faults, tab.weight = [], 0
        tab.on("console", lambda said: said.type == "error" and tab.faults.append(said.text))
        tab.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.on("request", lambda request: outside(tab, request.url))
        wire = tab.context.new_cdp_session(tab)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda event: weigh(tab, event["encodedDataLength"]))
        tab.goto(f"{address}/{name}", wait_until="networkidle")
        if options.get("java_script_enabled", True):
            tab.evaluate("window.MathJax?.startup?.promise")
        return tab

    def outside(tab, url):
        if not url.startswith((address, "data:")):
            tab.faults.append(f"a request to {url}")

    def weigh(tab, size):
        tab.weight += size

    yield open_page
    for tab in tabs:
        tab.close()


UNSET = """() => [...document.querySelectorAll(".bd-article .math")]
    .filter((node) => !node.querySelector("mjx-container") || node.querySelector("mjx-merror"))
    .map((node) => node.textContent)"""
TOO_WIDE = """() => document.documentElement.scrollWidth > innerWidth"""
CLIPPED = """() => [...document.querySelectorAll(".bd-article :is(pre, table, .picture > div)")]
    .filter((node) => node.scrollWidth > node.clientWidth + 1 && node.checkVisibility())
    .map((node) => node.textContent.slice(0, 80))"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))"
SILENT = CLIPPED.replace("node.check", "node.dataset.more === undefined && node.check")
SMALL = """() => [...document.querySelectorAll(".picture svg text")].filter((text) => {
    const { a, b } = text.getScreenCTM();
    return Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize) < 8.9;
}).map((text) => text.textContent)"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_the_light(visit, name):
    tab = visit(name)
    assert_whole(tab, "light")
    assert tab.evaluate(SILENT) == []
    assert tab.evaluate(SMALL) == []
    for summary in tab.query_selector_all("main details > summary"):
        summary.focus()
        tab.keyboard.press("Enter")
        assert summary.evaluate("node => node.parentElement.open"), summary.inner_text()
    assert broken(tab) == []  # at the width of a telephone, and with all unfolded


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_the_dark_and_on_paper(visit, name):
    tab = visit(name, theme="dark")
    assert_whole(tab, "dark")
    tab.set_viewport_size({"width": 700, "height": 900})  # A4 within its margins
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.evaluate(DRAWN)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate(CLIPPED) == []
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.emulate_media(media="screen")
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.evaluate("document.querySelectorAll('main details').forEach((each) => (each.open = true))")
    assert broken(tab) == []


def assert_whole(tab, theme):
    """What holds of every page at every width; leaves the window as wide as a telephone."""
    assert tab.faults == []
    assert tab.weight <= HEAVIEST
    assert tab.evaluate(UNSET) == []
    assert tab.evaluate("document.documentElement.dataset.theme") == theme
    wide = []
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.evaluate(DRAWN)
        if tab.evaluate(TOO_WIDE):
            wide.append(width)
    assert wide == []


THINNED = """() => {
    for (const drawn of document.querySelectorAll(".picture svg, mjx-container"))
        drawn.innerHTML = "";
    for (const code of document.querySelectorAll("div.cell ~ div.cell pre"))
        code.textContent = code.textContent;
}"""


def broken(tab) -> list[str]:
    """What axe finds against WCAG 2, A and AA.

    Not in the inside of pictures and equations, which have a text of their own, and of the code of
    a section only in the first cell: the colors of all others are the same, and axe takes long.
    """
    tab.evaluate(THINNED)
    options = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}
    options["preload"] = False
    found = axe.Axe().run(tab, options=options).response["violations"]
    return [
        f"{one['id']}: {len(one['nodes'])} such as {one['nodes'][0]['html'][:200]} "
        f"{one['nodes'][0]['failureSummary'][:300]}"
        for one in found
    ]


def test_the_keyboard_reaches_a_folded_cell(visit):
    tab = visit("chapters/model/attention.html")
    tab.focus("main h1 a")
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.tagName") == "SUMMARY":
            return
    pytest.fail("no folded cell was reached")


@pytest.mark.parametrize(
    "words, first",
    [
        ("causal_mask", "chapters/model/attention.html#py-causal_mask"),
        ("smoothed_loss", "chapters/training/regularization.html#py-smoothed_loss"),
        ("equation 3", "chapters/training/optimizer.html#eq-3"),
    ],
)
def test_the_search_shows_a_definition_before_its_uses(visit, words, first):
    tab = visit(f"search.html?q={words}")
    link = tab.wait_for_selector("#search-results li a").get_attribute("href")
    assert link.endswith(first)


def test_the_theme_is_known_before_any_script_is_loaded(browser, address):
    tab = browser.new_page(color_scheme="dark")
    tab.route("**/*.js*", lambda route: route.abort())
    tab.goto(f"{address}/intro.html")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.close()


def test_without_scripts_code_has_its_colors(visit):
    tab = visit("chapters/model/attention.html", java_script_enabled=False)
    colors = """() => ["pre", "pre .k"].map((each) =>
        getComputedStyle(document.querySelector(`.cell_input ${each}`)).color)"""
    plain, keyword = tab.evaluate(colors)
    assert plain != keyword
