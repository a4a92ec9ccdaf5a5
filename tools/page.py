"""A Sphinx extension: what this book's pages have beyond those of Jupyter Book.

- Cells that are tangled into the package carry a label with the name of their module.
- Exercises are numbered within each chapter; Sphinx would count them through the book.
- A button opens the chapter's notebook on Colab (tools/notebooks.py makes the notebooks).
- MathJax comes from the package sphinx-mathjax-offline: one bundle and its fonts, not all 24 MB.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from tools import chapters
from tools.tangle import file_of

COLAB = "https://colab.research.google.com/github"
NOTEBOOKS = "notebooks"  # the branch that holds them
BUTTONS = ("use_repository_button", "use_issues_button")  # of the theme
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def module_of(path: Path) -> str | None:
    """The module that the chapter's front matter names."""
    if not chapters.is_chapter(path):
        return None
    return (chapters.read(path).metadata.get("annotated") or {}).get("module")


def label_exports(app: Sphinx, doctree: nodes.document) -> None:
    """Marks the cells that are in the package."""
    default = module_of(Path(app.env.doc2path(app.env.docname)))
    for cell in doctree.findall(nodes.container):
        metadata = cell.get("cell_metadata") or {}
        if cell.get("nb_element") != "cell_code" or "export" not in metadata.get("tags", []):
            continue
        name = f"annotated/{file_of(metadata.get('module') or default or '')}"
        label = nodes.paragraph("", "", nodes.literal("", name), classes=["cell-module"])
        cell["classes"].append("in-package")
        cell.insert(0, label)


def number_exercises(app: Sphinx, env: BuildEnvironment) -> None:
    """Counts the exercises of each page from 1."""
    for figures in env.toc_fignumbers.values():
        for kind in ("exercise", "proof"):
            numbers = figures.get(kind, {})
            for count, label in enumerate(sorted(numbers, key=numbers.__getitem__), 1):
                numbers[label] = (count,)


def name_repository(app: Sphinx, config: Config) -> None:
    """The buttons lead to the repository that publishes the book; without one there are none."""
    repository = chapters.repository()
    config.html_theme_options["repository_url"] = repository or ""
    if not repository:
        config.html_theme_options.update(dict.fromkeys(BUTTONS, False))


def colab_url(repository: str, name: str) -> str:
    """Where Colab opens the notebook of the chapter `name`."""
    owner = repository.rstrip("/").removeprefix("https://github.com/")
    return f"{COLAB}/{owner}/blob/{NOTEBOOKS}/{name}.ipynb"


def add_colab_button(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Puts the button beside the theme's own, on pages that are notebooks."""
    repository = app.config.html_theme_options.get("repository_url", "")
    if (
        not repository
        or doctree is None
        or not chapters.is_chapter(Path(app.env.doc2path(pagename)))
    ):
        return
    button = {
        "type": "link",
        "url": colab_url(repository, pagename.removeprefix("chapters/")),
        "text": "Colab",
        "tooltip": "Run this chapter on Colab",
        "icon": "fas fa-rocket",
        "label": "launch-colab",
    }
    context.setdefault("header_buttons", []).insert(0, button)


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Lays MathJax into the book's static files."""
    spec = find_spec("sphinx-mathjax-offline")
    if exception or app.builder.format != "html" or spec is None or spec.origin is None:
        return
    source = Path(spec.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", name_repository)
    app.connect("doctree-read", label_exports)
    app.connect("env-check-consistency", number_exercises)
    app.connect("html-page-context", add_colab_button, priority=600)  # after the theme's buttons
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
