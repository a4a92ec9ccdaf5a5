"""Checks a chapter's words against its cells: numbers that no cell knows, values never glued."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)*(?:[eE][-+]?\d+)?")
IN_CODE = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d[\d_]*)(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+")
GLUE_ROLE = re.compile(r"\{glue(?::(\w*))?\}`([^`]+)`")
GLUE_DIRECTIVE = re.compile(r"^\s*(?:`{3,}|:{3,})\{glue(?::\w*)?\}\s*(\S+)")

# "Section 3.2", "Sections 3.2 and 3.3", "Table 3", "Python 3.11 to 3.13": places and versions.
KINDS = (
    r"Sections?|Equations?|Eqs?\.|Tables?|Figures?|Figs?\.|Chapters?|Appendix|Appendices|§§?"
    r"|arXiv:?|[Vv]ersions?|Python|PyTorch|[Tt]orch|[Tt]orchtext|CC BY"
)
PLACE = r"\d+(?:\.\d+)*\w?"
PLACES = re.compile(
    rf"\b(?:{KINDS})\s*\(?v?{PLACE}\)?(?:(?:,| and| or| to|, and| ?-| ?–)\s*{PLACE})*",
    re.IGNORECASE,
)
ARXIV = re.compile(r"\b\d{4}\.\d{4,5}(?:v\d+)?\b")
HEADING = re.compile(r"^(\s*#{1,6}\s+)\d+(?:\.\d+)*(?=\s)")
LINK_NUMBER = re.compile(r"\[\d+(?:\.\d+)+(?=[^\]]*\]\()")
ROLE_OR_CODE = re.compile(r"\{[\w:.+-]+\}`[^`]*`|(`+)(?!`).+?(?<!`)\1(?!`)")
MASKS = [  # within a line, what is no prose
    ROLE_OR_CODE,
    re.compile(r"(?<![\\$])\$\$?(?!\$)(?:\\.|[^$\\])+\$\$?"),  # math
    LINK_NUMBER,
    re.compile(r"\]\([^)]*\)"),  # targets of links
    re.compile(r"<?\bhttps?://[^\s)>]+>?"),
    re.compile(r"<[A-Za-z/!][^>]*>"),  # tags
    ARXIV,
    PLACES,
]
FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})(?:\{([\w:.-]+)\})?(.*)$")
OPAQUE = {"math", "code", "code-block", "code-cell", "raw-cell", "figure", "image", "include"}


def blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def outside_code(text: str) -> Iterator[tuple[int, str, bool]]:
    """The lines of a chapter but for front matter, code, math and options of directives.

    Numbered from 1; the last says whether the line opens or closes a directive.
    """
    text = re.sub(r"\A---\n.*?\n---\n", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    text = re.sub(r"<!--.*?-->", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    closing, math, options = "", False, False
    for number, line in enumerate(text.split("\n"), 1):
        if closing:  # inside code
            if re.fullmatch(rf"\s*{closing[0]}{{{len(closing)},}}\s*", line):
                closing = ""
            continue
        if math or line.strip().startswith("$$"):  # a displayed equation
            if line.count("$$") % 2:
                math = not math
            continue
        fence = FENCE.match(line)
        if fence:
            marks, directive, _ = fence.groups()
            options = bool(directive)
            if directive in OPAQUE or (not directive and marks[0] != ":" and not _closes(line)):
                closing = marks
                continue
            yield number, line, True
        elif not (options and re.match(r"^\s*:[\w-]+:", line)):
            options = False
            yield number, line, False


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a chapter that are prose, numbered from 1, with all that is no prose blanked."""
    for number, line, fence in outside_code(text):
        if fence:
            _, directive, title = FENCE.match(line).groups()  # type: ignore[union-attr]
            line = "" if not directive or ":" in directive else title
        if re.match(r"^\s*(?:%|\+\+\+|\([\w:.-]+\)=)", line):  # comments, block breaks, labels
            continue
        line = HEADING.sub(blank, line)
        for mask in MASKS:
            line = mask.sub(blank, line)
        yield number, line


def _closes(line: str) -> bool:
    """A bare fence of backticks, met outside code, closes a directive opened by backticks."""
    return bool(re.fullmatch(r"\s*`{3,}\s*", line))


def value(token: str) -> float:
    return float(token.replace(",", "").replace("_", ""))


def numbers(text: str) -> set[float]:
    """All numbers in source or output; thousands may be parted by commas or underscores."""
    found = set()
    for token in IN_CODE.findall(text):
        found |= {value(part) for part in (token, *token.split(","))}
    return found


def output_text(cell: NotebookNode) -> str:
    """What a reader sees of a cell's outputs: text, and HTML without its tags; and glued values."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append(output.get("text", ""))
        for kind, data in output.get("data", {}).items():
            if kind.endswith("text/html") or kind.endswith("svg+xml"):
                parts.append(re.sub(r"<style.*?</style>|<[^>]*>", " ", str(data), flags=re.S))
            elif "text/" in kind:
                parts.append(str(data))
    return "\n".join(parts)


def glued(notebook: NotebookNode) -> set[str]:
    """The names that the chapter's cells have glued."""
    return {
        output["metadata"]["scrapbook"]["name"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    }


def pasted(text: str) -> Iterator[tuple[int, str]]:
    """The names that the prose pastes, with their lines. Those of other pages (page::name) not."""
    for number, line, fence in outside_code(text):
        directive = GLUE_DIRECTIVE.match(line) if fence else None
        keys = [directive.group(1)] if directive else []
        for match in ROLE_OR_CODE.finditer(line):
            role = GLUE_ROLE.match(match.group())
            if role:
                kind, name = role.groups()
                keys.append(name.rsplit(":", 1)[0] if kind == "text" else name)
        yield from ((number, key) for key in keys if "::" not in key)


def exempt(token: str) -> bool:
    """Whether a number may stand without a cell: small integers, years, 3.2.1."""
    if token.count(".") > 1:
        return True
    if re.fullmatch(r"(?:19|20)\d\d", token):
        return True
    return "." not in token and sum(character.isdigit() for character in token) < 3


def faults(text: str, notebook: NotebookNode) -> list[tuple[int, str]]:
    """What is wrong with a chapter's prose: lines and sentences.

    `text` is the chapter's source, `notebook` the chapter after execution.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = glued(notebook)
    known = numbers("\n".join(f"{cell.source}\n{output_text(cell)}" for cell in code))
    found = [
        (line, f"{{glue}} pastes {name!r}, but no cell of this chapter glues it.")
        for line, name in pasted(text)
        if name not in names
    ]
    for line, words in prose(text):
        for token in NUMBER.findall(words):
            if not exempt(token) and value(token) not in known:
                found.append(
                    (line, f"{token} is in no cell's source or output: glue it, or mend it.")
                )
    return sorted(found)
