"""Of the built pages, only what they use: a first visit loads half as much.

Themes bring rules for what no page has, and icon fonts of a thousand glyphs. Once the pages are
built, the style sheets keep the rules whose classes stand on a page or in a script, the icon fonts
the glyphs that those rules name; code has no marks without a color, a picture no digits that nobody
sees.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset

NESTED = ("@media", "@supports", "@container", "@layer")
QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
TOKEN = re.compile(rf"{QUOTED}|[{{}};]", re.DOTALL)
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
ASIDE = re.compile(r"\[[^\]]*\]|:(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)")
GLYPH = re.compile(r'"\\([0-9a-f]{2,5})"')
ICONS = "vendor/fontawesome"
PLAIN = {"n", "nn", "nx", "p", "pm", "w"}  # marks of pygments in the color of code without a mark
PRE = re.compile(r"<pre>.*?</pre>", re.DOTALL)
MARK = re.compile(r'<span class="(\w+)">([^<]*)</span>|<span></span>')
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


def blocks(css: str) -> Iterator[tuple[str, str | None]]:
    """The statements of a style sheet: what stands before the brace, and in it (None: no brace)."""
    depth = start = inner = 0
    for token in TOKEN.finditer(css):
        if token[0] == "{":
            depth += 1
            inner = token.end() if depth == 1 else inner
        elif token[0] == "}":
            depth -= 1
            if not depth:
                yield css[start : inner - 1].strip(), css[inner : token.start()]
                start = token.end()
        elif token[0] == ";" and not depth:
            yield css[start : token.start()].strip(), None
            start = token.end()


def without_unused(css: str, used: set[str]) -> str:
    """The style sheet without comments and the rules that need a class which is not in `used`."""
    css = re.sub(rf"({QUOTED})|/\*.*?\*/", lambda found: found[1] or "", css, flags=re.DOTALL)
    kept = []
    for prelude, body in blocks(css):
        if body is None:
            kept.append(f"{prelude};")
            continue
        if prelude.startswith(NESTED):
            body = without_unused(body, used)
        elif not prelude.startswith("@"):
            prelude = ",".join(each for each in selectors(prelude) if needs(each) <= used)
            body = re.sub(r"\s+", " ", body).strip()
        if prelude and body:
            kept.append(f"{prelude}{{{body}}}")
    return "\n".join(kept)


def selectors(prelude: str) -> list[str]:
    """The selectors of a rule, which commas part outside of parentheses."""
    found, depth = [""], 0
    for sign in prelude:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            found.append("")
        else:
            found[-1] += sign
    return [each.strip() for each in found]


def needs(selector: str) -> set[str]:
    """The classes without which the selector finds nothing."""
    return set() if "\\" in selector else set(CLASS.findall(ASIDE.sub("", selector)))


def classes(book: Path) -> set[str]:
    """What may be a class: those in the pages, and every word of their scripts."""
    scripts = [path for path in book.rglob("*.js") if not {"mathjax", "vendor"} & set(path.parts)]
    words = {word for path in scripts for word in re.findall(r"[\w-]+", path.read_text("utf8"))}
    for page in book.rglob("*.html"):
        for names in re.findall(r'class="([^"]*)"', page.read_text("utf8")):
            words.update(names.split())
    return words


def shorter(page: str) -> str:
    """The page whose code has no span without a color, and whose pictures are short."""

    def mark(found: re.Match[str]) -> str:
        return found[0] if found[1] and found[1] not in PLAIN else found[2] or ""

    page = PRE.sub(lambda code: MARK.sub(mark, code[0]), page)
    return SVG.sub(lambda svg: shortened(svg[0]), page)


def shortened(svg: str) -> str:
    """A picture to a hundredth, without margins, and without turns by nothing."""
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg).replace(">\n<", "><")
    return re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", svg)


def slim(book: Path) -> None:
    """Rewrites the style sheets, icon fonts and pages of the built book."""
    used, glyphs = classes(book), set[int]()
    for sheet in sorted(book.rglob("*.css")):
        css = without_unused(sheet.read_text("utf8"), used)
        if ICONS in sheet.as_posix():
            css = re.sub(r'url\([^)]*\.woff2"?\) format\("woff2"\),\s*', "", css)
        sheet.write_text(css, "utf8")
        glyphs |= {int(code, 16) for code in GLYPH.findall(css)}
    for font in book.rglob(f"{ICONS}/*/webfonts/*.ttf"):
        keep_glyphs(font, glyphs)
        font.with_suffix(".woff2").unlink(missing_ok=True)
    for page in book.rglob("*.html"):
        page.write_text(shorter(page.read_text("utf8")), "utf8")


def keep_glyphs(font: Path, glyphs: set[int]) -> None:
    """Leaves the font these glyphs, of those that it has."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    options = subset.Options()
    loaded = subset.load_font(str(font), options, lazy=False)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=glyphs)
    chosen.subset(loaded)
    subset.save_font(loaded, str(font), options)
