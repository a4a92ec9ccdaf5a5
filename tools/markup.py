"""Mends the HTML of a page, where extensions write what browsers or screen readers cannot use.

`tidy` is one function from a page's body to a better one, so that it can be tested without Sphinx.
"""

import re
from html import unescape
from itertools import count

MENDED = [
    # a label that hides what the bar says
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # one id for all exercises of a page, and for all solutions
    (
        re.compile(r'<section id="(exercise|solution|proof)-content">'),
        r'<section class="\1-content">',
    ),
    # a role that WAI-ARIA has given up; the list around it wants items
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
]
OUTPUT = re.compile(
    r'<div class="(output [^"]*)">(<div class="highlight"><pre>(.*?)</pre>)', re.DOTALL
)
ONCE = re.compile(r"<(style|script) data-once>.*?</\1>", re.DOTALL)  # a page needs one of each
COLUMNS = 100  # of code, and of tables that are printed; longer lines are prose
FIGURE = re.compile(r'<figure class="picture">(.*?)</figure>', re.DOTALL)


def tidy(body: str) -> str:
    """The body with these mended, printed prose marked, pictures numbered, scripts not repeated."""
    for pattern, better in MENDED:
        body = pattern.sub(better, body)
    return number_pictures(OUTPUT.sub(wrapped, once(body)))


def once(body: str) -> str:
    """The body with a style or a script that several outputs bring along only in the first."""
    met: set[str] = set()

    def first(found: re.Match[str]) -> str:
        new = found[0] not in met
        met.add(found[0])
        return found[0] if new else ""

    return ONCE.sub(first, body)


def wrapped(found: re.Match[str]) -> str:
    """A printed output, marked where its lines are those of prose."""
    text = unescape(re.sub("<[^>]*>", "", found[3]))
    wraps = " wraps" * (max(map(len, text.split("\n"))) > COLUMNS)
    return f'<div class="{found[1]}{wraps}">{found[2]}'


def number_pictures(body: str) -> str:
    """Counts the pictures that have a caption from 1, each with an anchor and a link to itself."""
    numbers = count(1)

    def numbered(found: re.Match[str]) -> str:
        if "<figcaption>" not in found[1]:
            return found[0]
        n = next(numbers)
        link = f'<a class="picture-number" href="#picture-{n}">Picture {n}.</a> '
        inner = found[1].replace("<figcaption>", f"<figcaption>{link}", 1)
        return f'<figure class="picture" id="picture-{n}">{inner}</figure>'

    return FIGURE.sub(numbered, body)
