"""The package is what the chapters say, and the tangler says so when it is not."""

import shutil
from pathlib import Path

import pytest

from tools import chapters, tangle

FRONT = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
annotated:
  module: first
---

# A chapter
"""


def cell(source: str, options: str = ":tags: [export]") -> str:
    return f"\nWords.\n\n```{{code-cell}} ipython3\n{options}\n\n{source}\n```\n"


def chapter(folder: Path, *cells: str, name: str = "chapter.md") -> Path:
    path = folder / name
    path.write_text(FRONT + "".join(cells), "utf8")
    return path


DOC = '"""The first module."""\n\nimport torch\nfrom torch import nn\n\n\n'
RELU = "def f(x: torch.Tensor) -> nn.Module:\n    return nn.ReLU()"


def test_the_package_is_what_the_chapters_say():
    package = tangle.ROOT / "annotated"
    made = tangle.tangle(chapters.paths())
    difference = tangle.drift(made, tangle.stale(made, package), package)
    assert not difference, f"{difference}\nMend it with: {tangle.MEND}"


def test_a_module_has_header_docstring_sorted_imports_and_two_blank_lines(tmp_path):
    path = chapter(
        tmp_path,
        cell(DOC + RELU),
        cell("print(f(1))", ":tags: [hide-input]"),
        cell(
            "import math\nfrom torch import Tensor\n\n\ndef g(x: Tensor) -> Tensor:\n"
            "    return math.pi * x"
        ),
    )
    assert tangle.tangle([path]) == {
        "first": f"# Tangled from {path}: change it there, then run `make tangle`.\n"
        '"""The first module."""\n\nimport math\n\nimport torch\nfrom torch import Tensor, nn\n\n\n'
        f"{RELU}\n\n\ndef g(x: Tensor) -> Tensor:\n    return math.pi * x\n"
    }


def test_a_cell_can_name_another_module(tmp_path):
    other = cell('"""Another."""\n\nLIMIT = 3', ":tags: [export]\n:module: second")
    made = tangle.tangle([chapter(tmp_path, cell(DOC + RELU), other)])
    assert list(made) == ["first", "second"]
    assert made["second"].endswith('"""Another."""\n\nLIMIT = 3\n')
    assert "LIMIT" not in made["first"]


def test_the_same_chapters_give_the_same_bytes(tmp_path):
    path = chapter(tmp_path, cell(DOC + RELU))
    assert tangle.tangle([path]) == tangle.tangle([path])


def test_drift_is_shown_with_the_command_that_mends_it(tmp_path, capsys):
    package = tmp_path / "package"
    package.mkdir()
    path = chapter(tmp_path, cell(DOC + RELU))
    arguments = [str(path), "--package", str(package)]
    assert tangle.main(arguments) == 0
    assert tangle.main([*arguments, "--check"]) == 0
    module = package / "first.py"
    module.write_text(module.read_text("utf8").replace("ReLU", "GELU"), "utf8")
    capsys.readouterr()
    assert tangle.main([*arguments, "--check"]) == 1
    said = capsys.readouterr().out
    assert "-    return nn.GELU()" in said and "+    return nn.ReLU()" in said
    assert "make tangle" in said
    assert "GELU" in module.read_text("utf8"), "--check must write nothing"
    assert tangle.main(arguments) == 0
    assert "GELU" not in module.read_text("utf8")


def test_a_module_without_its_chapter_is_stale_and_one_written_by_hand_is_not(tmp_path):
    (tmp_path / "gone.py").write_text(f"{tangle.HEADER}chapters/gone.md\n", "utf8")
    (tmp_path / "hand.py").write_text('"""By hand."""\n', "utf8")
    gone = tangle.stale({}, tmp_path)
    assert gone == [tmp_path / "gone.py"]
    assert "-# Tangled from chapters/gone.md" in tangle.drift({}, gone, tmp_path)
    tangle.write({}, gone, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["hand.py"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([cell(RELU)], "module's docstring"),
        ([cell(DOC + "def f(:")], "invalid syntax"),
        ([cell(DOC + RELU, ":tags: [export]\n:module: 3-x")], "without a module"),
    ],
)
def test_a_chapter_that_cannot_be_tangled_gets_a_sentence_with_its_line(
    tmp_path, capsys, cells, words
):
    path = chapter(tmp_path, *cells)
    assert tangle.main([str(path), "--check", "--package", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert words in said and f"{path}:" in said and "Traceback" not in said


def test_two_chapters_cannot_make_one_module(tmp_path):
    first = chapter(tmp_path, cell(DOC + RELU))
    second = shutil.copy(first, tmp_path / "second.md")
    with pytest.raises(chapters.ChapterError, match="already made by"):
        tangle.tangle([first, second])


def test_cells_inside_a_colon_fence_are_no_cells_as_in_the_book(tmp_path):
    nested = ":::{note}\n" + cell(DOC + RELU) + "\n:::\n"
    assert not list(chapters.cells(chapter(tmp_path, "\n" + nested)))


def test_a_cell_knows_the_line_of_its_first_code(tmp_path):
    path = chapter(tmp_path, cell("x = 1", ":tags: [hide-input]"), cell("x = 1\ny = 2"))
    lines = path.read_text("utf8").splitlines()
    found = list(chapters.cells(path))
    assert [lines[each.line - 1] for each in found] == ["x = 1", "x = 1"]
    assert found[0].line < found[1].line
