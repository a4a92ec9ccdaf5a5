"""A Sphinx extension: what this book's pages have beyond those of Jupyter Book.

- Cells that are tangled into the package carry a label with the name of their module; what they
  define, and the paper's equations, have anchors and stand in the index, which the search reads.
- Folded cells say what they hold (tools/cells.py), and the HTML is mended (tools/markup.py).
- Exercises are numbered within each chapter; Sphinx would count them through the book.
- The page's notebook (tools/notebooks.py) can be downloaded, and opened on Colab where the
  repository has a name.
- MathJax comes from the package sphinx-mathjax-offline: one bundle and its fonts, not all 24 MB.
- Of styles, icons and marks the pages load only what they use (tools/slim.py).
"""

import ast
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from tools import cells, chapters, markup, notebooks, slim
from tools.tangle import file_of

BUTTONS = ("use_repository_button", "use_issues_button")  # of the theme
MATHJAX = (  # what tools/theme's pages load of it, in the order of need; half of its one bundle
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "output/chtml/fonts/woff-v2",
    "a11y/assistive-mml.js",
)
TAG = re.compile(r"\\tag\{(\d+)\}")


def module_of(path: Path) -> str | None:
    """The module that the chapter's front matter names."""
    if not chapters.is_chapter(path):
        return None
    return (chapters.read(path).metadata.get("annotated") or {}).get("module")


def code_cells(doctree: nodes.document) -> list[nodes.container]:
    """The code cells of a page."""
    return [
        node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"
    ]


def source_of(cell: nodes.container) -> str:
    """A cell's code; empty where the page does not show it."""
    return next((block.astext() for block in cell.findall(nodes.literal_block)), "")


def label_exports(app: Sphinx, doctree: nodes.document) -> None:
    """Marks the cells that are in the package, and names what they define for the search."""
    default = module_of(Path(app.env.doc2path(app.env.docname)))
    for cell in code_cells(doctree):
        metadata = cell.get("cell_metadata") or {}
        if "export" not in metadata.get("tags", []):
            continue
        module = metadata.get("module") or default or ""
        name = f"annotated/{file_of(module)}"
        label = nodes.paragraph("", "", nodes.literal("", name), classes=["cell-module"])
        cell["classes"].append("in-package")
        for one in cells.definitions(source_of(cell)):
            anchor(cell, f"py-{one.name}", one.name)
            kind = "class" if isinstance(one, ast.ClassDef) else "function"
            app.env.get_domain("py").note_object(  # type: ignore[attr-defined]
                f"annotated.{module}.{one.name}", kind, f"py-{one.name}", location=cell
            )
        cell.insert(0, label)


def label_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Gives the paper's equations, those with its numbers, an anchor and a place in the index."""
    for block in list(doctree.findall(nodes.math_block)):
        for number in TAG.findall(block.astext()):
            anchor(block, f"eq-{number}", f"equation {number}")


def anchor(node: nodes.Element, name: str, entry: str) -> None:
    """Puts a target and an entry of the index before the node."""
    index = addnodes.index(entries=[("single", entry, name, "main", None)])
    place = node.parent.index(node)
    node.parent.insert(place, [index, nodes.target("", "", ids=[name])])


def label_folded(app: Sphinx, doctree: nodes.document) -> None:
    """Lets each folded cell say what it holds."""
    for cell in code_cells(doctree):
        if cell.get("hide_mode") and (source := source_of(cell)):
            cell["prompt_show"] = cells.prompt(source)


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


def mend(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """The page's body, tidied."""
    if "body" in context:
        context["body"] = markup.tidy(context["body"])


def add_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Puts the notebook beside the theme's own buttons, on pages that are executed notebooks."""
    repository = app.config.html_theme_options.get("repository_url", "")
    path = Path(app.env.doc2path(pagename))
    if not repository or doctree is None or not chapters.is_chapter(path):
        return
    name, buttons = chapters.name_of(path), context.setdefault("header_buttons", [])
    if write_notebook(path, repository, Path(app.outdir) / chapters.NOTEBOOKS / f"{name}.ipynb"):
        for group in buttons:
            if group.get("label") == "download-buttons":
                group["buttons"].insert(0, notebook_button(context["pathto"], name))
    buttons.insert(0, colab_button(chapters.colab_url(repository, name)))


def notebook_button(pathto: Any, name: str) -> dict[str, str]:
    return {
        "type": "link",
        "url": f"{pathto(chapters.NOTEBOOKS, 1)}/{name}.ipynb",
        "text": ".ipynb",
        "tooltip": "Download notebook file",
        "icon": "fas fa-code",
        "label": "download-notebook-button",
    }


def colab_button(url: str) -> dict[str, str]:
    return {
        "type": "link",
        "url": url,
        "text": "Colab",
        "tooltip": "Run this chapter on Colab",
        "icon": "fas fa-rocket",
        "label": "launch-colab",
    }


def write_notebook(path: Path, repository: str, target: Path) -> bool:
    """Lays the chapter's notebook beside the pages. Returns False where it was not executed."""
    from annotated import __version__

    try:
        made = notebooks.convert(path, repository, __version__, chapters.ROOT / "references.bib")
    except chapters.ChapterError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, target)
    return True


def without_thebe(app: Sphinx) -> None:
    """Switches off an extension that Jupyter Book always loads, and this book has no use for."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [
        one for one in app.registry.css_files if "thebe" not in str(one[0])
    ]


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


def drop_unused(app: Sphinx, exception: Exception | None) -> None:
    if not exception and app.builder.format == "html":
        slim.slim(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    without_thebe(app)
    app.connect("config-inited", name_repository)
    app.connect("doctree-read", label_exports)
    app.connect("doctree-read", label_equations)
    app.connect("doctree-read", label_folded)
    app.connect("env-check-consistency", number_exercises)
    app.connect("html-page-context", mend)
    app.connect("html-page-context", add_buttons, priority=600)  # after the theme's buttons
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", drop_unused, priority=900)  # when all is there
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
