"""Notebooks run alone: where one stops, and with what in reach; the wheel that they install."""

import os
import sys
from zipfile import ZipFile

import nbformat
import pytest

from tools import chapters, notebooks, run_notebooks

HEAD = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst, format_version: 0.13}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A page
"""


def cell(code, option=""):
    return f"\n```{{code-cell}} ipython3\n{option}{code}\n```\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a page of these cells in the Python of the tests, which installs nothing."""
    first = nbformat.v4.new_code_cell(notebooks.STAND_IN)
    monkeypatch.setattr(notebooks, "first_cell", lambda package: first)
    monkeypatch.setattr(run_notebooks, "PYTHON", run_notebooks.Path(sys.executable))
    monkeypatch.setattr(chapters, "ROOT", tmp_path)

    def run(*cells):
        path = tmp_path / "page.md"
        path.write_text(HEAD + "".join(cells), "utf8")
        return run_notebooks.failure(path, tmp_path / "a.whl", tmp_path)

    return run


def test_a_notebook_that_runs_has_nothing_to_say(run):
    glued = cell("from myst_nb import glue\nglue('a', 1)")
    assert run(glued, cell("1 / 0", ":tags: [raises-exception]\n\n"), cell("x = 1")) is None


def test_one_that_stops_says_where_and_why(run):
    assert run(cell("x = 1"), cell("y = x\n1 / 0")) == (
        "page.md:13: ZeroDivisionError: division by zero"
    )


def test_one_that_is_killed_says_so(run):
    assert run(cell("import os; os._exit(1)")) == "page.md:9: the kernel died"


def test_it_begins_in_an_empty_folder_far_from_the_repository(run, monkeypatch):
    for name in run_notebooks.OURS:
        monkeypatch.setenv(name, str(run_notebooks.ROOT))
    seen = f"""
import os
from pathlib import Path
assert not os.listdir()
assert Path({str(run_notebooks.ROOT)!r}) not in Path.cwd().resolve().parents
assert not {{*{run_notebooks.OURS}}} & {{*os.environ}}
"""
    assert run(cell(seen.strip())) is None


def test_the_wheel_holds_all_that_the_package_reads(tmp_path):
    before = os.listdir(run_notebooks.ROOT)
    built = run_notebooks.wheel(tmp_path)
    held = set(ZipFile(built).namelist())
    package = run_notebooks.ROOT / "annotated"
    for pattern in ("annotated/**/*.py", "annotated/**/*.toml", "annotated/pretrained/*"):
        files = {path.relative_to(package.parent) for path in package.parent.glob(pattern)}
        assert files and {path.as_posix() for path in files} <= held
    runs = {path.name for path in (package.parent / "results").glob("*.json")}
    assert runs and {f"annotated/recorded/{name}" for name in runs} <= held
    assert os.listdir(run_notebooks.ROOT) == before


@pytest.mark.parametrize("words", [["chapters/none.md"], ["intro.md", "tools"]])
def test_a_chapter_that_is_not_there_is_said(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks, "PYTHON", tmp_path / "python")  # lest it begin
    with pytest.raises(SystemExit, match="2"):
        run_notebooks.main(words)
    assert f"there is no chapter in {words[-1]}\n" in capsys.readouterr().err


def test_without_its_environment_it_says_what_makes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks, "PYTHON", tmp_path / "python")
    with pytest.raises(SystemExit, match="2"):
        run_notebooks.main([])
    assert "make test-notebooks" in capsys.readouterr().err
