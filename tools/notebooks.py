"""Turns the chapters into notebooks for Colab, in _build/notebooks: directives become Markdown.

python tools/notebooks.py             all chapters, with the outputs that the tests have stored
python tools/notebooks.py CHAPTER..   these chapters only
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from myst_nb.core.variables import format_plain_text
from nbformat import NotebookNode
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters, store  # noqa: E402
from tools.chapters import ChapterError  # noqa: E402

FENCE = re.compile(r"^\s*(`{3,}|:{3,})\{([\w:.-]+)\}\s*(.*)$")
ROLE_OR_CODE = re.compile(r"\{([\w:.+-]+)\}`([^`]*)`|(`+)(?!`).+?(?<!`)\3(?!`)")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
EXERCISE = re.compile(r"\{exercise\}[^\n]*\n(?::[\w-]+:[^\n]*\n)*?:label:\s*(\S+)")
TITLE = re.compile(r"^\(([\w:.-]+)\)=\s*\n+#+ +(.*)$", re.MULTILINE)
GLUE_IMPORT = re.compile(r"^from myst_nb import glue\n?", re.MULTILINE)
UNNAMED = (
    "The notebooks install the package from the repository that publishes the book: set "
    "repository.url in _config.yml to its address on GitHub."
)
STAND_IN = "def glue(name, value, display=True): ...  # in the book, puts a value into the prose"


class Library:
    """The works that the chapters cite, and those that this chapter has cited."""

    def __init__(self, path: Path):
        self.entries = parse_file(str(path)).entries if path.exists() else {}
        self.cited: list[str] = []

    def names(self, entry: Entry) -> str:
        last = [plain(" ".join(person.last_names)) for person in entry.persons.get("author", [])]
        if len(last) > 2 or "others" in last:
            return f"{last[0]} et al."
        return " and ".join(last)

    def cite(self, role: str, keys: str) -> str:
        """The text of a citation: Vaswani et al. (2017), or (Vaswani et al., 2017)."""
        said = []
        for key in (key.strip() for key in keys.split(",")):
            entry = self.entries.get(key)
            if entry is None:
                said.append(key)
                continue
            if key not in self.cited:
                self.cited.append(key)
            names, year = self.names(entry), entry.fields.get("year", "")
            said.append(f"{names} ({year})" if role == "cite:t" else f"{names}, {year}")
        return " and ".join(said) if role == "cite:t" else f"({'; '.join(said)})"

    def list(self) -> str:
        """A Markdown list of what was cited."""
        lines = ["## References", ""]
        for key in sorted(self.cited):
            entry = self.entries[key]
            where = [entry.fields.get(name) for name in ("booktitle", "journal", "note")]
            parts = [f"{self.names(entry)} ({entry.fields.get('year', '')})"]
            parts += [f"*{plain(entry.fields.get('title', key))}*"]
            parts += [plain(text) for text in where if text]
            lines.append(f"- {'. '.join(parts)}.".replace("al..", "al."))
        return "\n".join(lines)


def plain(text: str) -> str:
    """LaTeX of a bibliography as plain text."""
    accents = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
    text = re.sub(r"\{?\\([\"'`^~])\{?(\w)\}?\}?", lambda match: match[2] + accents[match[1]], text)
    text = re.sub(
        r"\{?\\([lLoO])\b\s*\}?", lambda match: dict(l="ł", L="Ł", o="ø", O="Ø")[match[1]], text
    )
    return re.sub(r"[{}]", "", text)


def glue_values(notebook: NotebookNode) -> dict[str, str]:
    """The plain text of each glued value, from an executed chapter."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            for kind, data in output.get("data", {}).items():
                if name and kind.endswith("text/plain"):
                    found[name] = data
    return found


class Converter:
    """Rewrites the Markdown of one chapter. Exercises are counted through the chapter."""

    def __init__(self, values: dict[str, str], library: Library, repository: str, path: Path):
        self.values, self.library, self.repository = values, library, repository
        self.path = path  # of the chapter, from which its links lead
        self.exercises: dict[str, int] = {}
        self.titles: dict[str, str] = {}

    def learn(self, text: str) -> None:
        """Numbers the exercises, notes the titles that labels stand for: text may refer ahead."""
        for label in EXERCISE.findall(text):
            self.number(label)
        self.titles |= dict(TITLE.findall(text))

    def markdown(self, text: str) -> str:
        """A cell's MyST Markdown as Markdown that every notebook shows."""
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines(text.split("\n")))).strip("\n")

    def lines(self, lines: list[str]) -> Iterator[str]:
        open_fences: list[tuple[str, str]] = []  # marks, what stands before each line within
        code = ""
        rest = iter(enumerate(lines))
        for place, line in rest:
            if code:
                code = "" if line.strip() == code else code
                yield self.indent(open_fences) + line
            elif open_fences and line.strip() == open_fences[-1][0]:
                closed = open_fences.pop()[1]
                yield "$$" if closed == "$$" else ""
            elif fence := FENCE.match(line):
                marks, name, title = fence.groups()
                options, skipped = self.options(lines[place + 1 :])
                for _ in range(skipped):
                    next(rest)
                head, inner = self.directive(name, title, options)
                if head:
                    yield self.indent(open_fences) + head
                    if inner != "$$":
                        yield (self.indent(open_fences) + inner).rstrip()
                open_fences.append((marks, inner))
            elif re.match(r"^\s*(`{3,}|~{3,})", line):
                code = re.match(r"^\s*(`{3,}|~{3,})", line)[1]  # type: ignore[index]
                yield self.indent(open_fences) + line
            elif re.match(r"^(%|\+\+\+)|^\([\w:.-]+\)=\s*$", line):
                continue
            else:
                yield (self.indent(open_fences) + self.inline(line)).rstrip()

    @staticmethod
    def indent(open_fences: list[tuple[str, str]]) -> str:
        return "".join(inner for _, inner in open_fences if inner != "$$")

    @staticmethod
    def options(lines: list[str]) -> tuple[dict[str, str], int]:
        """A directive's options, and how many lines they take."""
        found: dict[str, str] = {}
        for count, line in enumerate(lines):
            option = re.match(r"^\s*:([\w-]+):\s*(.*)$", line)
            if not option:
                return found, count
            found[option[1]] = option[2]
        return found, len(lines)

    def directive(self, name: str, title: str, options: dict[str, str]) -> tuple[str, str]:
        """The line in place of a directive's first, and what stands before each line within it."""
        title = self.inline(title)
        if name == "exercise":
            number = self.number(options.get("label", f"exercise {len(self.exercises)}"))
            return f"### Exercise {number}" + (f": {title}" if title else ""), ""
        if name in ("solution-start", "solution"):
            return f"#### Solution of exercise {self.number(title)}", ""
        if name == "math":
            return "$$", "$$"
        if name in ("solution-end", "bibliography", "tableofcontents"):
            return "", ""
        if name in ("admonition", "dropdown", "card"):
            return f"> **{title}**", "> "
        word = name.rsplit(":", 1)[-1].replace("-", " ").capitalize()
        return f"> **{word}{f': {title}' if title else ''}**", "> "

    def number(self, label: str) -> int:
        return self.exercises.setdefault(label, len(self.exercises) + 1)

    def inline(self, line: str) -> str:
        return LINK.sub(self.link, ROLE_OR_CODE.sub(self.role, line))

    def role(self, match: re.Match[str]) -> str:
        name, text, _ = match.groups()
        if name is None:  # inline code
            return match.group()
        if name.startswith("glue"):
            return self.glue(name, text)
        if name.startswith("cite"):
            return self.library.cite(name, text)
        if name == "eq":
            return f"({text})"
        if name == "math":
            return f"${text}$"
        titled = re.match(r"^(.*?)\s*<([^>]*)>$", text)
        text = titled[1] if titled else text
        if name in ("ref", "numref", "doc", "prf:ref", "abbr", "sup", "sub") or titled:
            if text in self.exercises:
                return f"exercise {self.exercises[text]}"
            return self.titles.get(text, text)
        return f"`{text}`"

    def glue(self, name: str, text: str) -> str:
        key, _, form = text.rpartition(":") if name == "glue:text" else (text, "", "")
        if not key:
            key, form = text, ""
        if key not in self.values:
            raise ChapterError(f"no executed cell gives the value {key!r}, which the prose shows.")
        return format_plain_text(self.values[key], form or "s")

    def link(self, match: re.Match[str]) -> str:
        """Links to other chapters lead to their notebooks; those within the chapter are words."""
        text, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        page = self.path.parent / target.split("#")[0]
        if page.suffix == ".md" and page.exists() and chapters.is_chapter(page):
            return f"[{text}]({chapters.colab_url(self.repository, chapters.name_of(page))})"
        return text


def first_cell(package: str) -> NotebookNode:
    """Installs the package from an address that pip knows; PyTorch stays Colab's own."""
    source = (
        "# The book's package, at the version of this page.\n"
        f'%pip install --quiet "annotated[fast] @ {package}"\n'
        "import annotated  # before PyTorch, whose threads then sleep while they wait\n\n"
        f"{STAND_IN}"
    )
    return nbformat.v4.new_code_cell(source)


def convert(path: Path, repository: str, version: str, bibliography: Path) -> NotebookNode:
    """The chapter as a notebook, with the outputs that the cache has.

    Raises ChapterError where it was not executed, or shows a value that no cell has given.
    """
    notebook = chapters.read(path)
    executed = store.executed(notebook)
    if executed is None:
        if any(cell.cell_type == "code" for cell in notebook.cells):
            raise ChapterError(
                f"{chapters.show(path)} as it is has not been executed: run make test, or make "
                "book, and then make notebooks."
            )
        executed = notebook
    library = Library(bibliography)
    converter = Converter(glue_values(executed), library, repository, path)
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            converter.learn(cell.source)
    cells = []
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            text = converter.markdown(cell.source)
            cells += [nbformat.v4.new_markdown_cell(text)] if text else []
        elif cell.cell_type == "code":
            cells.append(code_cell(cell))
            cells[-1].outputs = outputs(cell, converter)
            cells[-1].execution_count = cell.get("execution_count")
    cells.insert(min(1, len(cells)), first_cell(f"git+{repository}@v{version}"))
    if library.cited:
        cells.append(nbformat.v4.new_markdown_cell(library.list()))
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"  # else random: the same chapter must give the same file
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "colab": {"provenance": []},
    }
    made = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(made)
    return made


def code_cell(cell: NotebookNode) -> NotebookNode:
    """A code cell without outputs and without the book's own: glue comes from the first cell."""
    tags = [tag for tag in cell.metadata.get("tags", []) if tag in ("export", "raises-exception")]
    metadata = {"tags": tags} if tags else {}
    return nbformat.v4.new_code_cell(GLUE_IMPORT.sub("", cell.source), metadata=metadata)


def outputs(cell: NotebookNode, converter: Converter) -> list[NotebookNode]:
    """A cell's outputs without glued values; their Markdown is plain."""
    kept = [
        output
        for output in cell.get("outputs", [])
        if "scrapbook" not in output.get("metadata", {})
    ]
    for output in kept:
        if text := output.get("data", {}).get("text/markdown"):
            output.data["text/markdown"] = converter.markdown(text)
    return kept


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", type=Path, help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "notebooks")
    options = parser.parse_args(arguments)
    from annotated import __version__

    repository = chapters.repository()
    if repository is None:
        print(UNNAMED, file=sys.stderr)
        return 1
    try:  # all, before any is written
        made = {
            chapters.name_of(path): convert(path, repository, __version__, ROOT / "references.bib")
            for path in options.chapters or chapters.paths()
        }
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    for name, notebook in made.items():
        target = options.out / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        print(f"wrote {chapters.show(target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
