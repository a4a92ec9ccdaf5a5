"""The built pages: whole, and without a single request to anybody else."""

import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "_build" / "html"
PAGES = sorted(path for path in BOOK.rglob("*.html") if "_static" not in path.parts)
SHEETS = sorted((BOOK / "_static").rglob("*.css"))

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")

LOADS = {  # tag -> the attributes by which a browser loads something unasked
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
LINKS = {"stylesheet", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "icon"}
OUTSIDE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"(?:url\(\s*|@import\s+)[\"']?(?:https?:)?//", re.IGNORECASE)


class Loads(HTMLParser):
    """Collects what a page loads from elsewhere, and where its own links lead."""

    def __init__(self, page: Path):
        super().__init__()
        self.outside: list[str] = []
        self.inside: list[str] = []
        self.fragments: list[str] = []
        self.ids: list[str] = []
        self.feed(page.read_text("utf8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        names = LOADS.get(tag, ())
        if tag == "link" and LINKS & set(attributes.get("rel", "").split()):
            names = ("href",)
        for name in names:
            if OUTSIDE.match(attributes.get(name, "").strip()):
                self.outside.append(f"<{tag} {name}={attributes[name]}>")
        if IN_CSS.search(attributes.get("style", "")):
            self.outside.append(f"<{tag} style={attributes['style']}>")
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "a" and re.match(r"[^:?]*#.", attributes.get("href", "")):
            self.fragments.append(attributes["href"])
        if tag == "a" and not re.match(r"[a-z]+:|//|#|$", attributes.get("href", "")):
            self.inside.append(attributes["href"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BOOK).as_posix())
def test_a_page_loads_nothing_from_elsewhere(page):
    assert Loads(page).outside == []
    styles = re.findall(r"<style[^>]*>(.*?)</style>", page.read_text("utf8"), re.DOTALL)
    assert not [style for style in styles if IN_CSS.search(style)]


def test_no_style_sheet_loads_anything_from_elsewhere():
    assert [sheet.name for sheet in SHEETS if IN_CSS.search(sheet.read_text("utf8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BOOK).as_posix())
def test_links_within_the_book_lead_somewhere(page):
    targets = {link.split("#")[0].split("?")[0] for link in Loads(page).inside}
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@cache
def ids(page: Path) -> list[str]:
    return Loads(page).ids


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BOOK).as_posix())
def test_links_to_a_place_on_a_page_find_it(page):
    lost = []
    for link in set(Loads(page).fragments):
        path, place = link.split("#", 1)
        target = (page.parent / path).resolve() if path else page
        if target.suffix == ".html" and unquote(place) not in ids(target):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BOOK).as_posix())
def test_an_id_stands_on_a_page_once(page):
    twice = {name: count for name, count in Counter(ids(page)).items() if count > 1}
    twice.pop("search-input", None)  # the theme's: in the head of the search page, and in it
    assert twice == {}


def test_every_chapter_of_the_table_of_contents_has_its_page():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    names = [toc["root"], *(each["file"] for part in toc["parts"] for each in part["chapters"])]
    assert [name for name in names if not (BOOK / f"{name}.html").exists()] == []


def redirects() -> dict[str, str]:
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    return config["sphinx"]["config"]["redirects"]


@pytest.mark.parametrize("old", redirects())
def test_an_old_address_leads_to_a_page(old):
    page = BOOK / f"{old}.html"
    refresh = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page.read_text("utf8"))
    assert (page.parent / refresh[1]).resolve() in PAGES
    assert (page.parent / refresh[1]).resolve() not in {
        BOOK / f"{name}.html" for name in redirects()
    }


def test_mathjax_is_here_with_its_fonts():
    folder = BOOK / "_static" / "mathjax"
    assert (folder / "startup.js").exists()
    assert list(folder.rglob("*.woff"))


def test_cells_of_the_package_are_marked():
    pages = [page for page in PAGES if "cell-module" in page.read_text("utf8")]
    assert pages, "no page shows which cells are in the package"
