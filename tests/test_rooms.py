"""The rooms of the package: each imports only those that it stands on, and never a chapter."""

import ast
from pathlib import Path

import pytest

import annotated

PACKAGE = Path(annotated.__file__).parent
PLUMBING = {"files", "folders", "models", "ranges", "results"}  # that every room may use
MAY_USE = {
    "pictures": set(),
    "model": set(),
    "data": set(),
    "translation": {"model", "data"},
    "fast": {"model", "data", "translation"},
    "training": {"model", "data", "fast", "pictures"},
    "evidence": {"model", "data", "training", "translation", "pictures", "fast.packing"},
    "exercises": {"model", "data", "translation", "fast", "training", "pictures"},
    "cli": {"model", "data", "translation", "fast", "training", "evidence", "pictures"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """The names after `annotated.` that a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" for each in node.names]
        else:
            continue
        yield from (name.split(".", 1)[1] for name in names if name.startswith("annotated."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_uses_those_it_stands_on(path):
    room, *_ = path.relative_to(PACKAGE).with_suffix("").parts
    if room in MAY_USE:
        allowed = MAY_USE[room] | PLUMBING | {room, "__version__"}
        beyond = [
            x for x in imported(path) if not any(f"{x}.".startswith(f"{y}.") for y in allowed)
        ]
        assert not beyond
    else:
        assert room in PLUMBING | {"__init__", "__main__"}


def test_every_room_has_its_pages():
    """A module that a chapter makes lies in a room that has a docstring for strangers."""
    for room in MAY_USE:
        assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8")))
