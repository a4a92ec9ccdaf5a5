"""Reads the chapters as the book reads them: with myst-nb's reader and the book's settings."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from myst_nb.core.config import NbParserConfig
from myst_nb.core.read import create_nb_reader, is_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbformat import NotebookNode

import annotated  # noqa: F401  kernels that are started here inherit its setting of OpenMP

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
COLAB = "https://colab.research.google.com/github"
NOTEBOOKS = "notebooks"  # the branch that holds them
PLACEHOLDER = "/OWNER/REPOSITORY"  # in _config.yml, until somebody publishes the book


class ChapterError(ValueError):
    """A chapter that cannot be read or tangled. Its text: the file, the line, what to do."""


@dataclass(frozen=True)
class Cell:
    """A code cell: its place among the chapter's code cells and the line of its first code."""

    position: int
    line: int
    source: str
    metadata: dict[str, Any]

    @property
    def tags(self) -> list[str]:
        return list(self.metadata.get("tags", []))


@cache
def book_config() -> dict[str, Any]:
    """The settings of _config.yml."""
    path = ROOT / "_config.yml"
    return yaml.safe_load(path.read_text("utf8")) if path.exists() else {}


def repository() -> str | None:
    """The repository's address on GitHub: a workflow's own, or that in _config.yml if it is set."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"https://github.com/{name}"
    url = book_config().get("repository", {}).get("url", "").rstrip("/")
    return url if url and not url.endswith(PLACEHOLDER) else None


def colab_url(repository: str, name: str) -> str:
    """Where Colab opens the notebook of the chapter `name`."""
    owner = repository.rstrip("/").removeprefix("https://github.com/")
    return f"{COLAB}/{owner}/blob/{NOTEBOOKS}/{name}.ipynb"


def pages_url(repository: str) -> str:
    """Where GitHub publishes the repository's pages."""
    owner, name = repository.rstrip("/").removeprefix("https://github.com/").split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def paths() -> list[Path]:
    """All chapters that are notebooks, in the order of their names; the landing page is one too."""
    found = [ROOT / "intro.md", *sorted(CHAPTERS.rglob("*.md"))]
    return [path for path in found if path.exists() and is_chapter(path)]


def is_chapter(path: Path) -> bool:
    """Whether a Markdown file has the front matter of a notebook."""
    return is_myst_markdown_notebook(path.read_text("utf8"))


def name_of(path: Path) -> str:
    """A chapter's name: its path in chapters/, such as model/attention; of others the stem."""
    path = path.resolve().with_suffix("")
    return path.relative_to(CHAPTERS).as_posix() if path.is_relative_to(CHAPTERS) else path.stem


def show(path: Path) -> str:
    """The path as a message names it: from the root of the repository where it lies in it."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def read(path: Path) -> NotebookNode:
    """The chapter as a notebook, with metadata.source_map: the first line of each cell, from 0.

    Raises ChapterError where the file is no notebook.
    """
    text = path.read_text("utf8")
    extensions = book_config().get("parse", {}).get("myst_enable_extensions", ["colon_fence"])
    markdown = MdParserConfig(enable_extensions=set(extensions))
    reader = create_nb_reader(str(path), markdown, NbParserConfig(), text)
    if reader is None:
        raise ChapterError(f"{show(path)}: no notebook; copy the front matter of another chapter.")
    try:
        return reader.read(text)
    except Exception as error:  # the reader's own errors have no common class
        raise ChapterError(f"{show(path)}: {error}") from error


def cells(path: Path) -> Iterator[Cell]:
    """The chapter's code cells, in order."""
    notebook, lines = read(path), path.read_text("utf8").splitlines()
    position = 0
    for cell, fence in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        if cell.cell_type != "code":
            continue
        body = cell.source.split("\n")
        first = next(
            (k for k in range(fence, len(lines)) if lines[k : k + len(body)] == body), fence
        )
        yield Cell(position, first + 1, cell.source, dict(cell.metadata))
        position += 1
