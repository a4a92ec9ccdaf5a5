"""From paper to code: everything in the paper has its row, and every link leads to its line."""

import re

import pytest

from tools import chapters

PAGE = chapters.CHAPTERS / "start" / "from-paper-to-code.md"
ROOT = chapters.ROOT
SECTIONS = "1 2 3 3.1 3.2 3.2.1 3.2.2 3.2.3 3.3 3.4 3.5 4 5 5.1 5.2 5.3 5.4 6 6.1 6.2 6.3 7"
PAPER = [
    *(f"Section {number}" for number in SECTIONS.split()),
    *(f"Equation {number}" for number in (1, 2, 3)),
    *(f"Table {number}" for number in (1, 2, 3, 4)),
    *(f"Figure {number}" for number in (1, 2, 3, 4, 5)),
]
UNNUMBERED = {  # the function or class of each equation without a number
    "Residual": "LayerNorm",
    "MultiHeadAttention": "Concat",
    "SharedEmbedding": "sqrt{d_",
    "sinusoids": "10000",
}


@pytest.fixture(scope="module")
def namespace():
    """What the page's cells define, but for the last, which shows the table."""
    found: dict = {}
    for cell in list(chapters.cells(PAGE))[:-1]:
        exec(cell.source, found)
    return found


@pytest.fixture(scope="module")
def rows(namespace):
    """The table's rows, as lists of their cells."""
    lines = namespace["table"]().split("\n")[2:]
    return [line.strip("| ").split(" | ") for line in lines]


@pytest.mark.parametrize("name", PAPER)
def test_everything_in_the_paper_has_one_row(rows, name):
    [row] = [row for row in rows if row[0] == name]
    assert len(row) == 4 and all(row)
    assert re.search(r"\]\(\.\./\w+/[\w-]+\.md\)", row[2])


@pytest.mark.parametrize(("name", "formula"), UNNUMBERED.items())
def test_the_equations_without_a_number_have_rows(rows, name, formula):
    [row] = [row for row in rows if "no number" in row[0] and formula in row[1]]
    assert f"[`{name}`]" in row[3]


@pytest.mark.parametrize("name", [name for name in PAPER if name.startswith("Equation")])
def test_an_equation_leads_to_code(rows, name):
    [row] = [row for row in rows if row[0] == name]
    assert "#L" in row[3]


def test_every_line_is_that_of_its_definition(rows):
    links = re.findall(r"\[`([\w.]+)`\]\((\S+?)#L(\d+)\)", "\n".join(row[3] for row in rows))
    assert len(links) > 20
    for name, url, line in links:
        file = url.partition("/blob/main/")[2]
        source = (ROOT / file).read_text("utf8").split("\n")[int(line) - 1]
        assert re.match(rf"(class|def) {name}\b", source)


def test_in_a_workflow_code_is_the_forks(namespace, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "them/fork")
    assert namespace["repository"].__wrapped__() == "https://github.com/them/fork/blob/main"


def test_every_page_is_there(rows):
    for target in re.findall(r"\]\((\.\./\S+\.md)\)", "\n".join(row[2] for row in rows)):
        assert (PAGE.parent / target).exists()


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("h attentions (Section 3.2.2).", {"Section 3.2.2"}),
        ("(Sections 5.2 to 5.4)", {"Section 5.2", "Section 5.3", "Section 5.4"}),
        ("Sections 1 and 2; Table 3, rows C", {"Section 1", "Section 2", "Table 3"}),
        ("by equation 1, Figures 3, 4 and 5", {"Equation 1", "Figure 3", "Figure 4", "Figure 5"}),
        ("the unsection 3, 4,096 rows", set()),
    ],
)
def test_what_a_docstring_cites(namespace, text, items):
    assert namespace["cited"](text) == items


def test_pages_come_in_the_order_of_the_book(rows):
    [row] = [row for row in rows if row[0] == "Section 4"]
    names = re.findall(r"evidence/([\w-]+)\.md", row[2])
    first = ["why-self-attention", "recurrent-translation", "inside-the-heads"]
    assert names == [*first, "what-heads-do", "without-heads"]


def test_what_the_transformer_replaced_has_its_places(rows):
    for item, name in ("Section 4", "RecurrentTranslator"), ("Section 3.2.1", "AdditiveAttention"):
        [row] = [row for row in rows if row[0] == item]
        assert "recurrent-translation.md" in row[2] and f"[`{name}`]" in row[3]


def test_exercises_are_no_code_of_the_model(rows):
    assert not [row for row in rows if "exercises/" in row[3]]


def test_a_name_that_is_gone_is_said(namespace):
    with pytest.raises(LookupError, match="model.attention.gone"):
        namespace["in_package"]("Equation 1", ["model.attention.gone"])
