"""The pages to look something up in: in order, and every link names the page that it leads to."""

import re

import pytest

from tools import chapters, reading

PAGES = [
    chapters.ROOT / "intro.md",
    *(chapters.CHAPTERS / "start").glob("[fh]*.md"),
    *(
        chapters.CHAPTERS / "reference" / f"{name}.md"
        for name in ("glossary", "symbols", "cheat-sheet", "ledger", "your-own-text")
    ),
]
LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^)#\s]+\.md)")
ENTRY = re.compile(r"- \*\*(.+?)\*\*: (.+): \[[^\]]+\]\(\S+\)\.")


def entries() -> list[re.Match[str]]:
    lines = (chapters.CHAPTERS / "reference" / "glossary.md").read_text("utf8").split("\n")
    found = [ENTRY.fullmatch(line) for line in lines if line.startswith("- **") and "**:" in line]
    assert all(found)
    return found


def test_the_glossary_is_in_the_order_of_the_alphabet():
    terms = [re.sub(r"[^a-z ]", "", entry[1].lower()) for entry in entries()]
    assert terms == sorted(set(terms)) and len(terms) >= 60


def test_a_term_takes_a_sentence_or_two():
    assert [entry[1] for entry in entries() if entry[2].count(". ") > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=chapters.name_of)
def test_a_link_leads_to_the_page_that_its_words_name(page):
    prose = reading.NO_PROSE.sub("", page.read_text("utf8"))
    for words, target in LINK.findall(prose):
        title = re.search(r"^# (.+)$", (page.parent / target).read_text("utf8"), re.MULTILINE)[1]
        number = re.match(r"\d[\d.]*", title)
        said = re.match(r"\d[\d.]*", words)
        assert (said[0] if said else "") in ("", number[0] if number else ""), (words, title)
        if said:
            assert words.split()[1].strip(",").lower() in title.lower(), (words, title)


def test_a_size_has_one_letter_and_a_letter_one_size():
    text = (chapters.CHAPTERS / "reference" / "symbols.md").read_text("utf8")
    letters = re.findall(r"^\| (\$.+?\$|[A-Z]'?) \|", text, re.MULTILINE)
    assert len(letters) == len({*letters}) > 15
    assert {*"BSTDHKFVN", "K'"} <= {*letters}


def test_the_sheet_has_every_part_of_a_layer_with_its_shape():
    sheet: dict = {}
    for cell in list(chapters.cells(chapters.CHAPTERS / "reference" / "cheat-sheet.md"))[:-1]:
        exec(cell.source, sheet)
    shapes = {name: shape for name, shape, _ in sheet["rows"]}
    decoder = "decoder.layers.0"
    assert shapes[f"{decoder}.cross_attention.dropout"] == "(B, H, T, S)"
    assert shapes[f"{decoder}.cross_attention.key"] == "(B, H, S, K)"
    assert shapes[f"{decoder}.feed_forward.inner"] == "(B, T, F)"
    assert shapes["encoder.norm"] == "(B, S, D)" and shapes["logits"] == "(B, T, V)"
    html = sheet["sheet"]()
    assert html.count("<tr>") == len(sheet["rows"]) + 2 + 1 + len(sheet["AROUND"])
    assert "cross_attention.weights" in html
