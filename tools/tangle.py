"""Tangles the chapters' cells tagged `export` into the package: annotated/ROOM/MODULE.py.

python tools/tangle.py            write all modules, remove those that no chapter makes any more
python tools/tangle.py CHAPTER..  write the modules of these chapters only
python tools/tangle.py --check    write nothing; show what differs, and exit with 1 if anything does
"""

import argparse
import ast
import difflib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters  # noqa: E402
from tools.chapters import Cell, ChapterError  # noqa: E402

HEADER = "# Tangled from "
MEND = "make tangle"


def exports(path: Path) -> dict[str, list[Cell]]:
    """The chapter's export cells, by the module that they belong to."""
    default = (chapters.read(path).metadata.get("annotated") or {}).get("module")
    modules: dict[str, list[Cell]] = {}
    for cell in chapters.cells(path):
        if "export" not in cell.tags:
            continue
        module = cell.metadata.get("module", default)
        if not (isinstance(module, str) and all(map(str.isidentifier, module.split(".")))):
            raise ChapterError(
                f"{chapters.show(path)}:{cell.line}: an export cell without a module; name it in "
                "the front matter (annotated: {module: room.name}) or by `:module: room.name`."
            )
        modules.setdefault(module, []).append(cell)
    return modules


def file_of(module: str) -> str:
    """Where a module lies in the package: model.attention in model/attention.py."""
    return f"{module.replace('.', '/')}.py"


def split(path: Path, cell: Cell) -> tuple[str, list[str], str]:
    """A cell's docstring (or nothing), its top-level imports, and all that is left."""
    try:
        body = ast.parse(cell.source).body
    except SyntaxError as error:
        line = cell.line + (error.lineno or 1) - 1
        raise ChapterError(f"{chapters.show(path)}:{line}: {error.msg}.") from error
    lines = cell.source.split("\n")
    docstring, imports = "", []
    for place, node in enumerate(body):
        last = node.end_lineno or node.lineno
        text = "\n".join(lines[node.lineno - 1 : last])
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(text)
        elif place == 0 and isinstance(node, ast.Expr) and _is_string(node.value):
            docstring = text
        else:
            continue
        lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return docstring, imports, "\n".join(lines).strip("\n").rstrip()


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def weave(path: Path, module: str, found: list[Cell]) -> str:
    """The text of a module: header, docstring, imports of all its cells, the cells."""
    docstring, imports, bodies = "", [], []
    for place, cell in enumerate(found):
        words, lines, body = split(path, cell)
        if place == 0:
            docstring = words
            if not words:
                raise ChapterError(
                    f"{chapters.show(path)}:{cell.line}: the first export cell of {module} "
                    "must begin with the module's docstring."
                )
        elif words:
            body = f"{words}\n{body}"
        imports += lines
        bodies += [body] if body else []
    header = f"{HEADER}{chapters.show(path)}: change it there, then run `{MEND}`."
    parts = [f"{header}\n{docstring}\n", "\n".join(imports), "\n\n\n".join(bodies)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    name = f"annotated/{file_of(module)}"
    text = ruff("check", "--select=I", "--fix", "--quiet", name=name, text=text)
    return ruff("format", "--quiet", name=name, text=text)


def ruff(*arguments: str, name: str, text: str) -> str:
    """Passes text through ruff with the project's settings, as if it lay in the file `name`."""
    command = [sys.executable, "-m", "ruff", *arguments, f"--stdin-filename={name}", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise ChapterError(f"{name}: ruff says: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def tangle(sources: list[Path]) -> dict[str, str]:
    """The text of each module that the chapters make, by the module's name."""
    made: dict[str, str] = {}
    maker: dict[str, Path] = {}
    for path in sources:
        for module, found in exports(path).items():
            if module in maker:
                raise ChapterError(
                    f"{chapters.show(path)}:{found[0].line}: annotated/{file_of(module)} is "
                    f"already made by {chapters.show(maker[module])}."
                )
            maker[module] = path
            made[module] = weave(path, module, found)
    return made


def stale(made: dict[str, str], package: Path) -> list[Path]:
    """Modules that carry the tangler's header, but that no chapter makes."""
    kept = {package / file_of(module) for module in made}
    return [
        path
        for path in sorted(package.rglob("*.py"))
        if path not in kept and path.read_text("utf8").startswith(HEADER)
    ]


def drift(made: dict[str, str], gone: list[Path], package: Path) -> str:
    """A unified diff from the package as it is to what the chapters say. Empty if equal."""
    wanted = {package / file_of(module): text for module, text in made.items()}
    wanted |= dict.fromkeys(gone, "")
    out: list[str] = []
    for path, text in wanted.items():
        old = path.read_text("utf8") if path.exists() else ""
        name = chapters.show(path)
        out += difflib.unified_diff(
            old.splitlines(True), text.splitlines(True), name, f"{name} (from the chapters)"
        )
    return "".join(out)


def write(made: dict[str, str], gone: list[Path], package: Path) -> list[str]:
    """Writes what differs, removes what is stale; returns a line for each."""
    said = []
    for module, text in made.items():
        path = package / file_of(module)
        if not path.exists() or path.read_text("utf8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf8")
            said.append(f"wrote {chapters.show(path)}")
    for path in gone:
        path.unlink()
        said.append(f"removed {chapters.show(path)}: no chapter makes it any more")
    return said


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", type=Path, help="only these (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, show the difference")
    parser.add_argument("--package", type=Path, default=ROOT / "annotated", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        made = tangle([path.resolve() for path in options.chapters] or chapters.paths())
        gone = [] if options.chapters else stale(made, options.package)
        if options.check:
            difference = drift(made, gone, options.package)
            if difference:
                print(difference, end="")
                print(f"The package is not what the chapters say. Mend it with: {MEND}")
                return 1
        said = [] if options.check else write(made, gone, options.package)
        print("\n".join(said) or "The package is what the chapters say.")
        return 0
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"{error.filename}: no such file.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
