"""The ledger has every row that stands at the end of a chapter, once, with the chapter's name."""

import re

import pytest

from tools import chapters

LEDGER = chapters.CHAPTERS / "reference" / "ledger.md"
HEADER = "| point | paper | first code | elsewhere | here |"
TABLE = re.compile(r"^## In the ledger$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
TABLES = {
    path: [line for line in found[1].split("\n") if line.startswith("|")]
    for path in sorted(chapters.CHAPTERS.rglob("*.md"))
    if (found := TABLE.search(path.read_text("utf8")))
}


@pytest.fixture(scope="module")
def page():
    """What the page's first cell defines."""
    namespace: dict = {}
    exec(next(chapters.cells(LEDGER)).source, namespace)
    return namespace


@pytest.mark.parametrize("path", TABLES, ids=chapters.name_of)
def test_every_row_is_in_the_ledger_once(page, path):
    header, _, *rows = TABLES[path]
    assert header == HEADER and rows
    shown = page["ledger"](chapters.CHAPTERS).split("\n")
    for row in rows:
        words = re.sub(r"\]\([^)]*\)", "]()", row)
        found = [line for line in shown if re.sub(r"\]\([^)]*\)", "]()", line).endswith(words)]
        assert len(found) == 1
        assert f"](../{chapters.name_of(path)}.md)" in found[0]


def test_the_rows_stand_in_the_order_of_the_papers_sections(page):
    links = re.findall(r"^\| \[(\d[\d.]*) ", page["ledger"](chapters.CHAPTERS), re.MULTILINE)
    assert links == sorted(links) and links[0] == "3.1"


def test_a_row_keeps_its_links(page, tmp_path):
    here = tmp_path / "model"
    here.mkdir()
    row = "| a | [x](b.md) | [y](../data/c.md#d) | [z](#e) | [w](https://f.g) |"
    table = f"{HEADER}\n|---|---|---|---|---|\n{row}\n"
    text = f"# 3.1 Title\n\n## In the ledger\n\n{table}\n## More\n|no|"
    (here / "page.md").write_text(text, "utf8")
    assert page["ledger"](tmp_path).split("\n")[2:] == [
        "| [3.1 Title](../model/page.md) | a | [x](../model/b.md) | [y](../data/c.md#d) "
        "| [z](../model/page.md#e) | [w](https://f.g) |"
    ]
