"""A pytest plugin: executes each chapter once, and checks cells, references and prose.

A chapter's items: one for each code cell (nbval runs it), `references` (no reference output without
its cell) and `prose` (every number in the words is known to a cell, every pasted value is glued).
When all cells of a chapter have passed, the executed chapter goes into the cache that
`jupyter-book build` reads, so the book shows what the tests have checked.

Cells tagged `nbval-check-output` must print what tests/reference/CHAPTER.json says.
`make reference` (pytest --write-reference) writes those files anew. `make book` executes what the
cache lacks (pytest --missing) and compares nothing: a book is built where last digits differ, too.

A chapter is one line on the screen; what failed and how to run it alone comes last.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError, coalesce_streams, find_metadata_tags

from tools import chapters, prose, store

ROOT = Path(__file__).resolve().parent.parent
CHECK = "nbval-check-output"
COLORS = re.compile(r"\x1b\[[0-9;]*m")
FRAME = re.compile(r"Cell In\[\d+\], line (\d+)")  # of IPython's traceback, the cell's own first
ALONE = ".venv/bin/python -m pytest -q"
SECONDS = pytest.StashKey[dict[str, float]]()
FAULTS = pytest.StashKey[dict[str, str]]()  # chapter -> where and what went wrong first


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chapters", "Chapters of the book")
    group.addoption("--write-reference", action="store_true", help="write the reference outputs")
    group.addoption("--missing", action="store_true", help="execute what the cache lacks, no more")
    group.addoption("--reference", default=ROOT / "tests" / "reference", type=Path, metavar="DIR")
    group.addoption("--chapter-cache", default=store.CACHE, type=Path, metavar="DIR")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SECONDS], config.stash[FAULTS] = {}, {}
    config.option.nbval_current_env = True  # this Python, whatever kernels the machine has


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".md" and chapters.is_chapter(file_path):
        return ChapterFile.from_parent(parent, path=file_path)
    return None


def pytest_report_teststatus(report: Any, config: pytest.Config) -> tuple[str, str, str] | None:
    """No letter for each cell: a chapter has a line of its own."""
    if ".md::" in report.nodeid and (report.when == "call" or not report.passed):
        return report.outcome, "", "" if report.passed else report.outcome.upper()
    return None


def pytest_exception_interact(node: Any, call: pytest.CallInfo[Any], report: Any) -> None:
    if isinstance(node, ChapterCell | CheckItem):
        assert call.excinfo is not None
        node.config.stash[FAULTS].setdefault(
            chapters.show(node.path), node.fault(call.excinfo.value)
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.option.missing and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    seconds = config.stash[SECONDS]
    if len(seconds) > 1:
        slowest = sorted(seconds, key=seconds.__getitem__, reverse=True)[:3]
        told = ", ".join(f"{name} ({seconds[name]:.0f} s)" for name in slowest)
        total = sum(seconds.values())
        terminalreporter.write_line(f"{len(seconds)} chapters, {total:.0f} s. Slowest: {told}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last on the screen, after pytest's own: each chapter's first fault, and its command."""
    for name, fault in config.stash[FAULTS].items():
        screen(config, f"\n{fault}\nRun it alone: {ALONE} {name}\n")


def screen(config: pytest.Config, words: str) -> None:
    """Shows words at once, where this process has a screen."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter and capture:
        with capture.global_and_fixture_disabled():
            reporter.write(words, flush=True)


class ChapterFile(IPyNbFile):
    """A chapter: its cells share one kernel, whose folder is the chapter's."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.compare_outputs = False  # lax: only cells with the tag are compared
        self.broken: int | None = None  # the first cell that raised
        self.done = 0
        self.failed = False
        self.started = time.monotonic()
        self.fingerprint = ""
        self.shown: list[str | None] = []  # the display_id of each picture or value of a cell
        self.updates: dict[str, Any] = {}  # display_id -> what took the place of that output

    @property
    def reference_path(self) -> Path:
        return self.config.option.reference / f"{chapters.name_of(self.path)}.json"

    @property
    def compares(self) -> bool:
        """Whether outputs are compared with the references."""
        return not (self.config.option.write_reference or self.config.option.missing)

    def references(self) -> dict[str, Any]:
        path = self.reference_path
        return json.loads(path.read_text("utf8")) if path.exists() else {}

    def collect(self) -> Iterator[pytest.Item]:
        self.nb, option = chapters.read(self.path), self.config.option
        reads = (self.nb.metadata.get("annotated") or {}).get("reads")  # other pages: never old
        if option.missing and not reads and store.executed(self.nb, option.chapter_cache):
            return
        self.code = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        references = self.references() if self.compares else {}
        for cell, node in zip(chapters.cells(self.path), self.code, strict=True):
            options = defaultdict(bool, find_metadata_tags(cell.metadata))
            node.outputs, node.execution_count = [], None
            if options["check"] and str(cell.position) in references:
                node.outputs = nbformat.from_dict(references[str(cell.position)])
                for output in node.outputs:
                    if "text" in output:
                        output.text = "".join(output.text)
                    for kind, lines in output.get("data", {}).items():
                        output.data[kind] = "".join(lines)
                node.execution_count = 1  # nbval compares only what has been run
            item = ChapterCell.from_parent(
                self,
                name=f"cell {cell.position} (line {cell.line})",
                cell_num=cell.position,
                cell=node,
                options=options,
            )
            item.line = cell.line
            yield item
        if option.missing:
            return
        yield ReferencesItem.from_parent(self, name="references")
        yield ProseItem.from_parent(self, name="prose")

    def setup(self) -> None:
        self.started = time.monotonic()
        self.fingerprint = store.fingerprint()
        screen(self.config, f"{chapters.show(self.path):42}")
        super().setup()
        reply = self.kernel.kc.kernel_info(reply=True, timeout=30)
        self.nb.metadata["language_info"] = reply["content"]["language_info"]

    def get_kernel_message(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The next message; notes which output it shows or, as nbval does not, shows anew."""
        message: dict[str, Any] = super().get_kernel_message(*args, **kwargs)
        kind, content = message["msg_type"], message["content"]
        name = content.get("transient", {}).get("display_id")
        if kind in ("display_data", "execute_result"):
            self.shown.append(name)
        elif kind == "update_display_data":
            self.updates[name] = content["data"]
        return message

    def complete(self) -> bool:
        """Whether every cell has been executed, and has passed."""
        return self.done == len(self.code) and not self.failed

    def teardown(self) -> None:
        super().teardown()
        name, seconds = chapters.show(self.path), time.monotonic() - self.started
        verdict = "  FAILED" if name in self.config.stash[FAULTS] else ""
        screen(self.config, f"{seconds:6.1f} s{verdict}\n")
        if not self.done:
            return
        self.config.stash[SECONDS][name] = seconds
        if self.complete():
            if self.config.option.write_reference:
                self.write_references()
            if self.fingerprint == store.fingerprint():  # else the package has changed meanwhile
                store.keep(self.nb, self.path, seconds, self.config.option.chapter_cache)

    def write_references(self) -> None:
        outputs = {
            str(position): [split_lines(output) for output in readable(cell.outputs)]
            for position, cell in enumerate(self.code)
            if CHECK in cell.metadata.get("tags", [])
        }
        path = self.reference_path
        if outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(outputs, indent=1, ensure_ascii=False, sort_keys=False)
            path.write_text(text + "\n", "utf8")
        else:
            path.unlink(missing_ok=True)


class ChapterCell(IPyNbCell):
    """A code cell."""

    line = 0

    @property
    def chapter(self) -> ChapterFile:
        return chapter_of(self)

    def runtest(self) -> None:
        if self.chapter.broken is not None:
            pytest.skip(f"cell {self.chapter.broken} of this chapter has failed before")
        checked = self.options["check"] and self.chapter.compares
        missing = checked and self.cell.execution_count is None
        try:
            super().runtest()
        except Exception as error:
            self.chapter.failed = True
            if not str(error).startswith("Cell outputs differ"):
                self.chapter.broken = self.cell_num
            raise
        finally:
            self.keep_outputs()
        if missing:
            self.chapter.failed = True
            raise NbCellError(
                self.cell_num,
                f"no reference output in {chapters.show(self.chapter.reference_path)}; "
                "look at the output, and if it is right, write it with: make reference",
                self.cell.source,
            )

    def keep_outputs(self) -> None:
        """Puts the outputs of this run into the chapter, as a notebook holds them."""
        self.cell.execution_count = self.cell_num + 1
        self.cell.outputs = coalesce_streams(self.test_outputs or [])
        shown = iter(self.chapter.shown)
        for output in self.cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = self.cell.execution_count
            if "data" in output and (name := next(shown, None)) in self.chapter.updates:
                output.data = nbformat.from_dict(self.chapter.updates[name])
        self.chapter.shown, self.chapter.updates = [], {}
        self.chapter.done += 1

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        return super().compare_outputs(readable(test), readable(ref), skip_compare)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return str(super().repr_failure(excinfo))
        place = f"{chapters.show(self.path)}:{self.line}"
        numbered = "\n".join(
            f"{number:5}  {text}" for number, text in enumerate(error.source.split("\n"), self.line)
        )
        told = f"{place}: cell {error.cell_num}: {error}\n\n{numbered}\n"
        if str(error).startswith("Cell outputs differ"):
            told += f"\nThe reference is {chapters.show(self.chapter.reference_path)}. "
            told += "If the new output is right: make reference\n"
        traceback = error.inner_traceback or ""
        if not self.config.get_terminal_writer().hasmarkup:
            traceback = COLORS.sub("", traceback)
        return f"{told}{traceback}"

    def fault(self, error: BaseException) -> str:
        """Where in the chapter the cell went wrong, and how, in one line."""
        line, said = self.line, str(error).split("\n")[0]
        for output in self.test_outputs or []:
            if output.output_type == "error":
                said = f"{output.ename}: {output.evalue}".split("\n")[0]
                if frame := FRAME.search(COLORS.sub("", "\n".join(output.traceback))):
                    line += int(frame[1]) - 1
        return f"{chapters.show(self.path)}:{line}: {said}"

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, f"{chapters.show(self.path)}::{self.name}"


class CheckItem(pytest.Item):
    """A check of a whole chapter, after its cells. `faults` are sentences with their lines."""

    @property
    def chapter(self) -> ChapterFile:
        return chapter_of(self)

    def runtest(self) -> None:
        faults = self.faults()
        if faults:
            raise ChapterFault("\n".join(f"{place}: {words}" for place, words in faults))

    def faults(self) -> list[tuple[str, str]]:
        raise NotImplementedError

    def fault(self, error: BaseException) -> str:
        """The first of the faults."""
        return str(error).split("\n")[0]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ChapterFault):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{chapters.show(self.path)}::{self.name}"


class ChapterFault(Exception):
    """Something is wrong with a chapter."""


class ReferencesItem(CheckItem):
    """No reference output is left over for a cell that is not checked (any more)."""

    def faults(self) -> list[tuple[str, str]]:
        if self.config.option.write_reference:
            return []
        code = self.chapter.code
        checked = {
            str(place) for place, cell in enumerate(code) if CHECK in cell.metadata.get("tags", [])
        }
        return [
            (
                chapters.show(self.chapter.reference_path),
                f"cell {position} of the chapter is not tagged {CHECK}. "
                "If that is meant, remove the output with: make reference",
            )
            for position in self.chapter.references()
            if position not in checked
        ]


class ProseItem(CheckItem):
    """Every number in the words is known to a cell; every pasted value is glued."""

    def faults(self) -> list[tuple[str, str]]:
        if self.chapter.done < len(self.chapter.code) or self.chapter.broken is not None:
            pytest.skip("not all cells of this chapter have run")
        text = self.path.read_text("utf8")
        place = chapters.show(self.path)
        return [(f"{place}:{line}", words) for line, words in prose.faults(text, self.chapter.nb)]


def chapter_of(item: pytest.Item) -> ChapterFile:
    assert isinstance(item.parent, ChapterFile)
    return item.parent


def readable(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Of a cell's outputs, what a reference holds: the text that was printed or shown."""
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            kept.append(NotebookNode(output_type="stream", name="stdout", text=output.text))
        elif "text/plain" in output.get("data", {}):
            data = NotebookNode({"text/plain": output.data["text/plain"]})
            kept.append(NotebookNode(output_type="display_data", metadata={}, data=data))
        elif output.output_type == "error":
            kept.append(NotebookNode(output_type="error", ename=output.ename, evalue=output.evalue))
    return kept


def split_lines(output: NotebookNode) -> dict[str, Any]:
    """An output with its text as a list of lines, so that a diff of the file can be read."""
    plain = dict(output)
    if "text" in plain:
        plain["text"] = plain["text"].splitlines(True)
    if "data" in plain:
        plain["data"] = {kind: text.splitlines(True) for kind, text in plain["data"].items()}
    return plain
