"""A chapter for Colab: no directive or role is left, and its code is the chapter's."""

import ast
import re
import unicodedata
from types import SimpleNamespace

import nbformat
import pytest

from tools import chapters, notebooks, page, store
from tools.chapters import colab_url

REPOSITORY = "https://github.com/somebody/book"
CHAPTER = """\
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
---

# 3.2 Title

:::{admonition} At a glance
:class: tip glance
- **You need:** [3.5](model/positions.md#x), [above](#label), [Python](https://python.org)

More.
:::

(label)=
## A part

```{code-cell} ipython3
:tags: [hide-input]

import math
from myst_nb import glue

glue("share", 0.125, display=False)
```

It is {glue:text}`share:.2f`, or {glue:text}`share`;
{cite:t}`one2017` and {cite:p}`one2017,two2018`.
Math $x$, `:::{code}`, see {ref}`that <label>`, {ref}`ex-a`, {ref}`label`.

```{math}
x = 1
```

```python
a = 1  # {glue:text}`share` stays
```

:::{exercise}
:label: ex-a

Do it.
:::

::::{solution-start} ex-a
:class: dropdown
::::

Done.

```{code-cell} ipython3
1 + 1
```

::::{solution-end}
::::
"""
BIBLIOGRAPHY = r"""
@article{one2017, title={A {T}itle}, author={M{\"u}ller, A and Li, B and {\L}u, C}, year={2017}}
@article{two2018, title={Two}, author={Smith, A and Jones, B}, year={2018}, journal={J}}
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    path, bibliography = tmp_path / "chapter.md", tmp_path / "references.bib"
    path.write_text(CHAPTER, "utf8")
    bibliography.write_text(BIBLIOGRAPHY, "utf8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "positions.md").write_text(CHAPTER, "utf8")
    monkeypatch.setattr(chapters, "CHAPTERS", tmp_path)

    def executed(notebook):
        notebook.cells[1].outputs = [
            nbformat.v4.new_output(
                "display_data",
                data={"application/papermill.record/text/plain": "0.125"},
                metadata={"scrapbook": {"name": "share"}},
            )
        ]
        notebook.cells[-2].outputs = [
            nbformat.v4.new_output(
                "execute_result",
                data={
                    "text/plain": "2",
                    "text/markdown": "| [3.5](model/positions.md) {ref}`a <b>` |",
                },
                execution_count=2,
            )
        ]
        return notebook

    monkeypatch.setattr(store, "executed", executed)
    return notebooks.convert(path, REPOSITORY, "1.2.3", bibliography)


def text_of(made) -> str:
    return "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")


def test_it_is_a_valid_notebook_and_the_same_each_time(made):
    nbformat.validate(made)
    assert [cell.id for cell in made.cells] == [f"cell-{n}" for n in range(len(made.cells))]


def test_the_first_code_cell_installs_the_package_at_the_books_version(made):
    first = next(cell for cell in made.cells if cell.cell_type == "code")
    assert f'"annotated[fast] @ git+{REPOSITORY}@v1.2.3"' in first.source
    namespace: dict = {}
    exec(first.source.split("\n", 2)[2], namespace)
    assert namespace["glue"]("name", 1, display=False) is None


def test_code_is_the_chapters_without_the_books_glue(made):
    code = [cell.source for cell in made.cells if cell.cell_type == "code"][1:]
    assert code == ['import math\n\nglue("share", 0.125, display=False)', "1 + 1"]
    for source in code:
        ast.parse(source)


def test_outputs_are_kept_but_for_glued_values(made):
    outputs = [cell.outputs for cell in made.cells if cell.cell_type == "code"]
    assert [len(each) for each in outputs] == [0, 0, 1]


def test_markdown_that_a_cell_shows_is_plain_too(made):
    shown = made.cells[-2].outputs[0].data["text/markdown"]
    assert shown == f"| [3.5]({colab_url(REPOSITORY, 'model/positions')}) a |"


def test_no_directive_role_label_or_option_is_left_outside_code(made):
    prose = re.sub(r"```.*?```|`[^`]*`", "", text_of(made), flags=re.DOTALL)
    assert not re.search(r"[:`]{3}|\{[a-z:]+\}|^:\w+:|\(label\)=", prose, re.MULTILINE), prose


def test_directives_and_roles_become_markdown(made):
    text = text_of(made)
    position = colab_url(REPOSITORY, "model/positions")
    for expected in (
        "> **At a glance**\n>\n"
        f"> - **You need:** [3.5]({position}), above, [Python](https://python.org)\n>\n> More.",
        "It is 0.12, or 0.125;\nMüller et al. (2017) and (Müller et al., 2017; Smith and Jones, ",
        "see that, exercise 1, A part.",
        "$$\nx = 1\n$$",
        "```python\na = 1  # {glue:text}`share` stays\n```",
        "### Exercise 1\n\nDo it.",
        "#### Solution of exercise 1\n\nDone.",
        "- Müller et al. (2017). *A Title*.",
    ):
        assert expected in unicode(text), expected


def test_a_chapter_that_was_not_executed_is_no_notebook(tmp_path, monkeypatch, capsys, named):
    named(REPOSITORY)
    monkeypatch.setattr(store, "executed", lambda notebook: None)
    path, out = tmp_path / "chapter.md", tmp_path / "out"
    path.write_text(CHAPTER, "utf8")
    assert notebooks.main([str(path), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "chapter.md" in said and "make test" in said and said.count("\n") == 1
    assert not out.exists()


def test_a_number_that_no_cell_gives_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "executed", lambda notebook: notebook)
    path = tmp_path / "chapter.md"
    path.write_text(CHAPTER, "utf8")
    with pytest.raises(chapters.ChapterError, match="share"):
        notebooks.convert(path, REPOSITORY, "1.2.3", tmp_path / "none.bib")


def test_a_page_without_code_needs_no_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "executed", lambda notebook: None)
    path = tmp_path / "chapter.md"
    path.write_text(CHAPTER.split("(label)=")[0], "utf8")
    assert notebooks.convert(path, REPOSITORY, "1.2.3", tmp_path / "none.bib").cells


@pytest.fixture
def named(monkeypatch):
    """Names the repository in _config.yml, and in a workflow's environment."""

    def name(url, workflow=None):
        monkeypatch.setattr(chapters, "book_config", lambda: {"repository": {"url": url}})
        monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
        if workflow is not None:
            monkeypatch.setenv("GITHUB_REPOSITORY", workflow)

    return name


OURS, NOBODYS = "https://github.com/us/book", "https://github.com/OWNER/REPOSITORY"


@pytest.mark.parametrize(
    ("url", "workflow", "expected"),
    [
        (OURS, None, OURS),
        (f"{OURS}/", None, OURS),
        (OURS, "", OURS),
        (OURS, "them/fork", "https://github.com/them/fork"),
        (NOBODYS, "them/fork", "https://github.com/them/fork"),
        (NOBODYS, None, None),
        ("", None, None),
    ],
)
def test_a_fork_publishes_under_its_own_name(url, workflow, expected, named):
    named(url, workflow)
    assert chapters.repository() == expected
    app = SimpleNamespace(config=SimpleNamespace(html_theme_options={"repository_url": url}))
    app.config.html_theme_options |= dict.fromkeys(page.BUTTONS, True)
    page.name_repository(app, app.config)
    options = app.config.html_theme_options
    assert options["repository_url"] == (expected or "")
    assert all(options[button] is bool(expected) for button in page.BUTTONS)


def test_the_notebooks_install_the_fork(tmp_path, monkeypatch, named):
    named(NOBODYS, "them/fork")
    monkeypatch.setattr(store, "executed", lambda notebook: None)
    (tmp_path / "chapter.md").write_text(CHAPTER.split("(label)=")[0], "utf8")
    assert notebooks.main([str(tmp_path / "chapter.md"), "--out", str(tmp_path)]) == 0
    assert "git+https://github.com/them/fork@v" in (tmp_path / "chapter.ipynb").read_text("utf8")


def test_where_nobody_named_the_repository_a_sentence_says_how(tmp_path, capsys, named):
    named(NOBODYS)
    assert notebooks.main(["--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "repository.url in _config.yml" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "url, written, offered",
    [(OURS, True, ["Colab", ".ipynb"]), (OURS, False, ["Colab"]), ("", True, [])],
)
def test_there_is_no_button_to_a_notebook_that_nobody_publishes(
    url, written, offered, monkeypatch, tmp_path
):
    monkeypatch.setattr(page, "write_notebook", lambda *arguments: written)
    path = chapters.ROOT / "intro.md"
    config = SimpleNamespace(html_theme_options={"repository_url": url})
    env = SimpleNamespace(doc2path=lambda name: path)
    app = SimpleNamespace(config=config, env=env, outdir=tmp_path)
    downloads: dict = {"label": "download-buttons", "buttons": []}
    context = {"header_buttons": [downloads], "pathto": lambda name, _: name}
    page.add_buttons(app, "intro", "", context, object())
    buttons = [*context["header_buttons"], *downloads["buttons"]]
    assert [button["text"] for button in buttons if "text" in button] == offered


def test_a_notebook_lies_beside_the_pages_if_its_chapter_was_executed(tmp_path, monkeypatch):
    chapter, target = tmp_path / "chapter.md", tmp_path / "html" / "chapter.ipynb"
    chapter.write_text(CHAPTER.split("(label)=")[0] + "```{code-cell}\n1\n```\n", "utf8")
    monkeypatch.setattr(store, "executed", lambda notebook: None)
    assert not page.write_notebook(chapter, OURS, target) and not target.exists()
    monkeypatch.setattr(store, "executed", lambda notebook: notebook)
    assert page.write_notebook(chapter, OURS, target)
    assert nbformat.read(target, 4).cells


def unicode(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def test_colab_opens_the_notebook_on_its_branch():
    url = colab_url(f"{REPOSITORY}/", "model/attention")
    assert url == (
        "https://colab.research.google.com/github/somebody/book/blob/notebooks/model/attention.ipynb"
    )
