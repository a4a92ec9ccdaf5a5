"""The main path on paper: one PDF, printed by Chromium from the built pages.

python tools/pdf.py    write _build/html/NAME.pdf (make pdf), and offer it in the pages' menus

The landing page and the chapters become one document, so that pages are numbered through, headings
make the outline, and a link from chapter to chapter leads to its place. Solutions, folded on the
pages, stand at the end of their chapter. Links to other pages lead
to where the book is published; where that is not known, they are plain words.
"""

import os
import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters, reading  # noqa: E402

BOOK = ROOT / "_build" / "html"
NAME = "attention-is-all-you-need-rebuilt.pdf"
HOST = "http://book"  # of no network: Chromium's requests to it are answered from the folder
HEAD = re.compile(r"<head>.*</head>", re.DOTALL)
ARTICLE = re.compile(r'<article class="bd-article">(.*)</article>', re.DOTALL)
ADDRESS = re.compile(r'(?<=\s)(href|src|xlink:href)="([^"]*)"')
PLACE = re.compile(r'(?<=\s)(id|for|aria-labelledby|aria-describedby)="([^"]+)"')
SOLUTION = re.compile(r'<div class="solution .*?</section>\s*</div>\s*', re.DOTALL)
MENU = re.compile(r'<button onclick="window\.print\(\)".*?</li>', re.DOTALL)
ENTRY = """<li><a href="{}" class="btn btn-sm dropdown-item">
<span class="btn__icon-container"><i class="fas fa-file-pdf"></i></span>
<span class="btn__text-container">The book .pdf</span></a></li>"""
FOOTER = """<div style="width: 100%; font: 8pt sans-serif; text-align: center; color: #555">
<span class="pageNumber"></span></div>"""


def pages() -> list[str]:
    """The main path in order: the landing page, then the chapters before "Going further"."""
    path = reading.parts(before="Going further")
    return ["intro", *(each.relative_to(ROOT).with_suffix("").as_posix() for each in path)]


def moved(html: str, page: str, inside: list[str], public: str | None) -> str:
    """The HTML of a page as a part of one document at the root of the book.

    page: its name, such as chapters/model/attention. inside: the pages of the document, whose
    places are called PAGE--ID there. public: the address of the published book, if there is one.
    """

    def address(found: re.Match[str]) -> str:
        attribute, url = found.groups()
        if re.match(r"[a-z]+:|//|$", url):
            return found[0]
        path, _, place = url.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        name = file.removesuffix(".html") if path else page
        if name in inside:
            return f'{attribute}="#{spot(name, place)}"'
        if file.endswith((".html", ".ipynb", ".md")):
            return f'{attribute}="{public}{file}{"#" * bool(place)}{place}"' if public else ""
        return f'{attribute}="{file}"'

    def place(found: re.Match[str]) -> str:
        return f'{found[1]}="{" ".join(spot(page, each) for each in found[2].split())}"'

    html = PLACE.sub(place, ADDRESS.sub(address, html))
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{spot(page, found[1])})", html)


def solutions_last(article: str) -> str:
    """The HTML of a chapter with its solutions behind all else, under a heading."""
    solutions = "".join(SOLUTION.findall(article))
    if not solutions:
        return article
    rest, close, after = SOLUTION.sub("", article).rpartition("</section>")
    return f'{rest}<section id="solutions"><h2>Solutions</h2>{solutions}</section>{close}{after}'


def spot(page: str, place: str) -> str:
    """The id, in the document, of a place on a page; of the page itself where `place` is empty."""
    return f"{page.replace('/', '-')}--{place}".removesuffix("--")


def document(book: Path, names: list[str], public: str | None = None) -> str:
    """The pages `names` of the built book as one HTML document."""
    texts = {name: (book / f"{name}.html").read_text("utf8") for name in names}
    heads = {name: HEAD.search(text)[0] for name, text in texts.items()}  # type: ignore[index]
    richest = max(names, key=lambda name: "mathjax/" in heads[name])  # the first with equations
    head = re.sub("<title>.*?</title>", "", moved(heads[richest], richest, [], None))
    title = re.search("<title>(.*?)( &#8212;|</title>)", heads[names[0]])[1]  # type: ignore[index]
    parts = [
        f'<div data-page id="{spot(name, "")}">'
        f"{moved(solutions_last(ARTICLE.search(text)[1]), name, names, public)}</div>"  # type: ignore[index]
        for name, text in texts.items()
    ]
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light">{head}<title>{title}</title><body>'
        '<main class="bd-main"><div class="bd-content"><div class="bd-article-container">'
        f'<article class="bd-article">{"".join(parts)}</article></div></div></main></body></html>'
    )


def show(browser, book: Path, html: str):  # type: ignore[no-untyped-def]
    """Opens the document in a tab of the browser, and waits for its equations."""
    tab = browser.new_page(viewport={"width": 703, "height": 1000}, color_scheme="light")
    tab.route(f"{HOST}/**", lambda route: answer(route, book, html))
    tab.emulate_media(media="print")
    tab.goto(f"{HOST}/", wait_until="load", timeout=300_000)
    tab.evaluate("window.MathJax?.startup?.promise")
    tab.evaluate("document.fonts.ready")
    return tab


def answer(route, book: Path, html: str) -> None:  # type: ignore[no-untyped-def]
    path = route.request.url.removeprefix(f"{HOST}/").partition("?")[0]
    if not path:
        route.fulfill(body=html, content_type="text/html; charset=utf-8")
    else:
        route.fulfill(path=book / path)


def once(title: str) -> str:
    """A heading's name, which Chromium writes twice where the heading did not fit on a page."""
    half = len(title) // 2
    return title[:half] if title[:half] == title[half:] else title


def pack(path: Path) -> None:
    """Mends the outline, and compresses what Chromium leaves plain, two thirds of the file."""
    import pikepdf

    with pikepdf.open(path, allow_overwriting_input=True) as printed:
        for item in printed.objects:
            if isinstance(item, pikepdf.Dictionary) and "/Title" in item and "/Dest" in item:
                item.Title = once(str(item.Title))
        printed.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def offer(book: Path, names: list[str]) -> None:
    """Puts the PDF into the download menus of its pages, once."""
    for name in names:
        path = book / f"{name}.html"
        text = path.read_text("utf8")
        if NAME not in text and (place := MENU.search(text)):
            entry = ENTRY.format("../" * name.count("/") + NAME)
            path.write_text(text[: place.end()] + entry + text[place.end() :], "utf8")


def main() -> int:
    from playwright.sync_api import sync_playwright

    names, repository = pages(), chapters.repository()
    missing = [name for name in names if not (BOOK / f"{name}.html").exists()]
    if missing:
        print(f"{missing[0]} is not built: make book", file=sys.stderr)
        return 2
    html = document(BOOK, names, chapters.pages_url(repository) if repository else None)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        show(browser, BOOK, html).pdf(
            path=BOOK / NAME,
            prefer_css_page_size=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            outline=True,
            tagged=True,
        )
    pack(BOOK / NAME)
    offer(BOOK, names)
    print(f"_build/html/{NAME}: {(BOOK / NAME).stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
