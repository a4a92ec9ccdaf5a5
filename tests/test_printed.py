"""The PDF of the main path, as it was printed: make pdf test-pages."""

import re

import pytest

from tools import pdf, reading

PAPER = pdf.BOOK / pdf.NAME


@pytest.fixture(scope="module")
def paper():
    library = pytest.importorskip("pypdfium2", reason="no pypdfium2: make pdf")
    if not PAPER.exists():
        pytest.skip("the PDF is not made: make pdf")
    return library.PdfDocument(PAPER)


def heading(path) -> str:
    return re.search(r"^# (.+)$", path.read_text("utf8"), re.MULTILINE)[1]


def test_the_outline_has_the_chapters_in_order(paper):
    chapters = [pdf.ROOT / "intro.md", *reading.parts(before="Going further")]
    outline = [each for each in paper.get_toc() if each.level == 0]
    assert [each.get_title().strip() for each in outline] == [heading(path) for path in chapters]
    first = [each.get_dest().get_index() for each in outline]
    assert first == sorted(set(first)) and first[0] == 0


def test_exercises_are_followed_by_solutions_and_no_name_stands_twice(paper):
    names = [each.get_title().strip() for each in paper.get_toc()]
    assert [name for name in names if pdf.once(name) != name] == []
    assert names.count("Solutions") == names.count("Exercises") > 10


def test_every_word_lies_on_its_page_and_every_page_has_its_number(paper):
    beyond = []
    for number, sheet in enumerate(paper, 1):
        width, text = sheet.get_width(), sheet.get_textpage()
        boxes = [text.get_rect(k) for k in range(text.count_rects())]
        words = [box for box in boxes if box[3] - box[1] > 2]  # not the bars of braces, clipped
        beyond += [(number, box) for box in words if box[0] < 20 or box[2] > width - 20]
        assert str(number) in text.get_text_range().split()
    assert beyond == []


def test_it_is_no_larger_than_a_mail_takes(paper):
    assert PAPER.stat().st_size < 10e6
