"""The main path as one document, from which the PDF is printed: make pdf."""

import re

import pytest

from tools import pdf

NAMES = ["intro", "chapters/a/one", "chapters/a/two"]


def page(folder: str, body: str, head: str = "") -> str:
    return (
        f'<html><head><title>T &#8212; Book</title><link href="{folder}_static/x.css"/>'
        f'{head}</head><body><p>menu</p><article class="bd-article">{body}</article></body></html>'
    )


@pytest.fixture
def book(tmp_path):
    (tmp_path / "chapters" / "a").mkdir(parents=True)
    (tmp_path / "intro.html").write_text(page("", '<a href="chapters/a/two.html">2</a>'))
    one = '<a href="two.html#deep">2</a><a href="../b/far.html#x">far</a><p id="deep">1</p>'
    (tmp_path / "chapters/a/one.html").write_text(page("../../", one))
    two = '<p id="deep">2</p><a href="#deep">up</a><g clip-path="url(#deep)"/><img src="../p.svg">'
    script = '<script src="../../_static/mathjax/startup.js"></script>'
    (tmp_path / "chapters/a/two.html").write_text(page("../../", two, script))
    return tmp_path


def test_links_between_its_pages_stay_in_the_document(book):
    made = pdf.document(book, NAMES)
    assert 'href="#chapters-a-two">2' in made and 'href="#chapters-a-two--deep">2' in made
    assert 'href="#chapters-a-two--deep">up' in made and "url(#chapters-a-two--deep)" in made
    ids = re.findall(r'\sid="([^"]*)"', made)
    assert len(ids) == len(set(ids))


def test_links_to_other_pages_lead_to_the_published_book_or_nowhere(book):
    assert 'href="https://x.org/chapters/b/far.html#x">far' in pdf.document(
        book, NAMES, "https://x.org/"
    )
    assert "<a >far" in pdf.document(book, NAMES)


def test_the_document_loads_what_its_pages_load(book):
    made = pdf.document(book, NAMES)
    assert '"_static/x.css"' in made and '"_static/mathjax/startup.js"' in made
    assert 'src="chapters/p.svg"' in made
    assert "<title>T</title>" in made and "menu" not in made


def test_solutions_stand_at_the_end_of_their_chapter(book):
    exercise = '<div class="exercise admonition" id="ex-{0}">Task {0}</div>'
    solution = (
        '<div class="solution dropdown admonition" id="s-{0}">\n<p><a href="#ex-{0}">Exercise {0}'
        '</a></p>\n<section class="solution-content">\n<div>Answer {0}</div>\n</section>\n</div>\n'
    )
    tasks = "".join((exercise + solution).format(number) for number in (1, 2))
    body = f'<section id="one"><h1>One</h1>{tasks}<p>Last.</p></section>'
    (book / "chapters/a/one.html").write_text(page("../../", body))
    made = pdf.document(book, NAMES)
    order = [
        "Task 1",
        "Task 2",
        "Last.",
        "Solutions",
        "Answer 1",
        "Answer 2",
        'id="chapters-a-two"',
    ]
    places = [made.index(each) for each in order]
    assert places == sorted(places) and made.count("Answer 1") == made.count("<h2>") == 1
    assert '<section id="chapters-a-one--solutions">' in made
    assert 'href="#chapters-a-one--ex-2">Exercise 2' in made
    assert made.count("<section") == made.count("</section>")


def test_a_name_in_the_outline_stands_there_once():
    assert pdf.once("SummarySummary") == "Summary"
    assert pdf.once("Summary") == "Summary" and pdf.once("3.2 Attention") == "3.2 Attention"


def test_the_menus_offer_it_once(book):
    menu = '<li><button onclick="window.print()">.pdf</button></li>'
    path = book / "chapters/a/one.html"
    path.write_text(path.read_text() + menu)
    pdf.offer(book, NAMES)
    pdf.offer(book, NAMES)
    assert path.read_text().count(f'href="../../{pdf.NAME}"') == 1


def test_the_main_path_goes_no_further():
    names = pdf.pages()
    assert names[:2] == ["intro", "chapters/start/how-to-read"]
    assert not [name for name in names if "/fast/" in name or "/reference/" in name]


def test_a_page_that_is_not_built_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pdf, "BOOK", tmp_path)
    pytest.importorskip("playwright")
    assert pdf.main() == 2
    assert capsys.readouterr().err == "intro is not built: make book\n"
