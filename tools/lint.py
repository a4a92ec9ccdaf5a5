"""Checks the chapters' cells with ruff: style, and the format that the package has too.

python tools/lint.py              say what is wrong, with the chapter's line numbers
python tools/lint.py CHAPTER..    these chapters only
python tools/lint.py --fix        write the cells as `ruff format` would
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters  # noqa: E402
from tools.chapters import Cell  # noqa: E402

# A chapter may define a thing twice, the simple way first; imports may stand where they are needed.
# Of zip(strict=...) and loop variables in a lambda ruff speaks in the package, not here.
IGNORED = "F811,E402,B905,B023"


def notebook_of(cells: list[Cell]) -> str:
    """The cells as a notebook's JSON, which ruff reads with its cells apart."""
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.source) for cell in cells],
        metadata={"language_info": {"name": "python"}},
    )
    return nbformat.writes(book)


def ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename=chapters/cells.ipynb"]
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, cwd=ROOT)
    if done.returncode > 1 or (done.returncode and not done.stdout):
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def faults(path: Path, cells: list[Cell]) -> list[str]:
    """What `ruff check` finds, a line for each."""
    found = json.loads(
        ruff(notebook_of(cells), "check", "--output-format=json", f"--ignore={IGNORED}")
    )
    return [
        f"{chapters.show(path)}:{cells[fault['cell'] - 1].line + fault['location']['row'] - 1}: "
        f"{fault['code']} {fault['message']}"
        for fault in found
    ]


def formatted(cells: list[Cell]) -> list[str]:
    """The cells' sources as ruff writes them: imports sorted, then formatted."""
    text = ruff(notebook_of(cells), "check", "--select=I", "--fix", "--quiet")
    return [
        cell.source.rstrip("\n")
        for cell in nbformat.reads(ruff(text, "format"), as_version=4).cells
    ]


def rewrite(path: Path, cells: list[Cell], sources: list[str]) -> None:
    """Puts the sources into the chapter in place of the cells'."""
    lines = path.read_text("utf8").split("\n")
    for cell, source in reversed(list(zip(cells, sources, strict=True))):
        start, count = cell.line - 1, len(cell.source.split("\n"))
        lines[start : start + count] = source.split("\n")
    path.write_text("\n".join(lines), "utf8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", type=Path, help="only these (default: all)")
    parser.add_argument("--fix", action="store_true", help="write the cells in ruff's format")
    options = parser.parse_args(arguments)
    said: list[str] = []
    for path in [path.resolve() for path in options.chapters] or chapters.paths():
        cells = list(chapters.cells(path))
        found = faults(path, cells)
        said += found
        if any("invalid-syntax" in fault or "SyntaxError" in fault for fault in found):
            continue
        sources = formatted(cells)
        changed = [c for c, source in zip(cells, sources, strict=True) if c.source != source]
        if changed and options.fix:
            rewrite(path, cells, sources)
            print(f"formatted {chapters.show(path)}")
        elif changed:
            said += [
                f"{chapters.show(path)}:{cell.line}: not in ruff's format; mend it with: "
                f"python tools/lint.py --fix {chapters.show(path)}"
                for cell in changed
            ]
    print("\n".join(said) or "The chapters' cells are clean.")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
