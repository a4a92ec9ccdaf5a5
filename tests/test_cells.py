"""Cells in words: what they define, and what they hide."""

import pytest

from tools.cells import definitions, prompt, what


def test_definitions_are_the_cell_s_own_and_not_those_within():
    source = (
        "class A:\n    def b(self): ...\n\ndef c(): ...\n\ndef _d(): ...\n\nif x:\n    def e(): ..."
    )
    assert [one.name for one in definitions(source)] == ["A", "c"]


@pytest.mark.parametrize(
    "source, said",
    [
        ("import math\nx = 1", "the imports"),
        ("from annotated import pictures\npictures.lines(a)", "the code of the picture"),
        ("lines(a)", "the code of the picture"),
        ("table(head, rows)", "the code of the table"),
        ("def sharpness(p): ...\nprint(1)", "sharpness"),
        ("def a(): ...\ndef b(): ...", "a and b"),
        ("def a(): ...\ndef b(): ...\ndef c(): ...", "3 definitions"),
        ("assert a\nassert b", "the checks"),
        ("x = 1\nassert_close(a, b)", "the checks"),
        ("x = 1", "the code"),
        ("%pip install x", "the code"),
        ("", "the code"),
    ],
)
def test_a_folded_cell_says_what_it_holds(source, said):
    assert what(source) == said


def test_a_prompt_counts_the_lines():
    assert prompt("x = 1\n") == "Show the code (1 line)"
    assert prompt("import a\nimport b") == "Show the imports (2 lines)"
