"""What a code cell holds, in the words of a page: what it defines, and what a folded one hides."""

import ast

DRAWINGS = {"lines", "bars", "points", "heatmap", "heatmaps", "alignment", "architecture"}
DRAWINGS |= {"picture", "search_tree"}


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell; none where it is no plain Python."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def definitions(source: str) -> list[ast.ClassDef | ast.FunctionDef]:
    """The classes and functions that a cell defines, but not those of its own use (_name)."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [one for one in parsed(source) if isinstance(one, kinds) and one.name[0] != "_"]


def what(source: str) -> str:
    """What a folded cell hides: "the code of the picture", "the imports", "sharpness".

    Its last statement says so, its definitions, or its first statement; else it is "the code".
    """
    body = parsed(source)
    if not body:
        return "the code"
    if called(body[-1]) in DRAWINGS:
        return "the code of the picture"
    if called(body[-1]) in ("table", "show"):
        return "the code of the table"
    if isinstance(body[0], ast.Import | ast.ImportFrom):
        return "the imports"
    if names := [one.name for one in definitions(source)]:
        return " and ".join(names) if len(names) < 3 else f"{len(names)} definitions"
    if all(isinstance(one, ast.Assert) for one in body) or called(body[-1]) == "assert_close":
        return "the checks"
    return "the code"


def called(statement: ast.stmt) -> str:
    """The name of the function that a statement calls, or nothing."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return ""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def prompt(source: str) -> str:
    """What a folded cell says of itself: "Show the imports (11 lines)"."""
    count = len(source.strip().splitlines())
    return f"Show {what(source)} ({count} line{'s' * (count != 1)})"
