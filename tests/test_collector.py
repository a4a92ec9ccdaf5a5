"""Small broken chapters: each kind of fault makes the tests fail, and a good chapter passes.

All chapters run in one pytest, whose report the tests below read.
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tools import chapters, prose, store

ROOT = Path(__file__).resolve().parent.parent
FRONT = """\
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

"""
SETUP = """
```{code-cell} ipython3
from myst_nb import glue
glue("share", 0.125, display=False)
```
"""
CHECKED = """
```{code-cell} ipython3
:tags: [nbval-check-output]

print("ids", [1, 2])
37_000
```
"""
REFERENCE = {
    "1": [
        {"output_type": "stream", "name": "stdout", "text": ["ids [1, 2]\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["37000"]}},
    ]
}
PROSE = (
    "# 3.2 Title\n\nWith 37,000 words, of which {glue:text}`share:.2f`, as Section 3.2.1 says.\n"
)
GOOD = PROSE + SETUP + CHECKED
BY_HAND = """
```{code-cell} ipython3
:tags: [nbval-check-output]

import settings
print(settings.warmup)
```
"""
# name -> (the chapter's text, its reference outputs)
CHAPTERS: dict[str, tuple[str, dict]] = {
    "good": (GOOD, REFERENCE),
    "wrong_number": (GOOD.replace("37,000", "36,000"), REFERENCE),
    "missing_glue": (GOOD.replace("`share:.2f`", "`shares:.2f`"), REFERENCE),
    "stale_output": (GOOD.replace("[1, 2]", "[1, 3]"), REFERENCE),
    "leftover_reference": (GOOD.replace(":tags: [nbval-check-output]\n\n", ""), REFERENCE),
    "missing_reference": (GOOD.replace("37_000", "37_000  # again"), {}),
    "failing_assert": (
        GOOD + "\n```{code-cell} ipython3\nassert 1 + 1 == 3, 'sum'\n```\n",
        REFERENCE,
    ),
    "raising": (PROSE + "\n```{code-cell} ipython3\nnothing\n```\n" + GOOD, {}),
    "waiting_threads": (
        PROSE.replace("{glue:text}`share:.2f`", "some")
        + "\n```{code-cell} ipython3\nimport os\n37_000\nos.environ['GOMP_SPINCOUNT']\n```\n",
        {},
    ),
    "changed_hyperparameter": (
        "# T\n" + BY_HAND,
        {"0": [{"output_type": "stream", "name": "stdout", "text": ["4000\n"]}]},
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs all of CHAPTERS: the folder, chapter -> cell or check -> None or what it says, and all
    that was on the screen.
    """
    folder = tmp_path_factory.mktemp("book")
    sources, references = folder / "chapters", folder / "reference"
    sources.mkdir()
    references.mkdir()
    (sources / "settings.py").write_text("warmup = 8000\n", "utf8")
    for name, (text, reference) in CHAPTERS.items():
        (sources / f"{name}.md").write_text(FRONT + text, "utf8")
        if reference:
            (references / f"{name}.json").write_text(json.dumps(reference), "utf8")
    return folder, *execute(folder)


Found = dict[str, dict[str, str | None]]


def execute(folder: Path, *arguments: str) -> tuple[Found, str]:
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-qq", "-rN", "-p", "tools.collector"]
    command += ["-p", "no:cacheprovider", "-o", "console_output_style=classic"]
    command += [f"--rootdir={folder}", f"--junitxml={report}", *arguments]
    command += [f"--reference={folder / 'reference'}", f"--chapter-cache={folder / 'cache'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    for name in [
        name for name in environment if name.startswith(("PYTEST_XDIST", "OMP_WAIT", "GOMP_"))
    ]:
        del environment[name]
    done = subprocess.run(
        [*command, str(folder / "chapters")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    found: Found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        fault = case.find("failure")
        if fault is None:
            fault = case.find("skipped")
        said = None if fault is None else f"{fault.tag}: {fault.get('message')}\n{fault.text}"
        chapter = case.get("classname", "").split(".")[1]
        found.setdefault(chapter, {})[case.get("name", "").split(" (")[0]] = said
    return found, done.stdout


def failures(found: dict[str, str | None]) -> dict[str, str]:
    return {name: said for name, said in found.items() if said and said.startswith("failure")}


def test_a_good_chapter_passes(run):
    _, found, _ = run
    assert found["good"] == dict.fromkeys(["cell 0", "cell 1", "references", "prose"])


def test_a_good_chapter_lands_in_the_cache_that_the_book_reads(run):
    folder, *_ = run
    notebook = chapters.read(folder / "chapters" / "good.md")
    executed = store.executed(notebook, folder / "cache")
    assert executed is not None
    assert executed.cells[-1].outputs[0].text == "ids [1, 2]\n"
    assert executed.cells[-1].execution_count == 2
    assert prose.glued(executed) == {"share"}


@pytest.mark.parametrize("name", ["failing_assert", "raising", "stale_output", "missing_reference"])
def test_a_chapter_with_a_failed_cell_does_not_land_in_the_cache(run, name):
    folder, *_ = run
    notebook = chapters.read(folder / "chapters" / f"{name}.md")
    assert store.executed(notebook, folder / "cache") is None


def test_a_wrong_number_in_prose_fails_and_is_named_with_its_line(run):
    _, found, _ = run
    failed = failures(found["wrong_number"])
    assert list(failed) == ["prose"]
    assert "wrong_number.md:15: 36,000 is in no cell" in failed["prose"]


def test_a_value_that_no_cell_glues_fails(run):
    _, found, _ = run
    failed = failures(found["missing_glue"])
    assert list(failed) == ["prose"]
    assert "missing_glue.md:15: {glue} pastes 'shares'" in failed["prose"]


def test_an_output_that_differs_from_its_reference_fails(run):
    _, found, _ = run
    failed = failures(found["stale_output"])
    assert list(failed) == ["cell 1"]
    assert "Cell outputs differ" in failed["cell 1"] and "make reference" in failed["cell 1"]


def test_a_reference_without_its_cell_fails(run):
    _, found, _ = run
    assert list(failures(found["leftover_reference"])) == ["references"]


def test_a_checked_cell_without_reference_fails(run):
    _, found, _ = run
    assert list(failures(found["missing_reference"])) == ["cell 1"]
    assert "no reference output" in failures(found["missing_reference"])["cell 1"]


def test_a_failing_assert_fails_and_shows_cell_line_and_source(run):
    _, found, _ = run
    said = failures(found["failing_assert"])["cell 2"]
    lines = (FRONT + CHAPTERS["failing_assert"][0]).splitlines()
    line = lines.index("assert 1 + 1 == 3, 'sum'") + 1
    assert f"failing_assert.md:{line}: cell 2" in said
    assert f"{line}  assert 1 + 1 == 3" in said and "AssertionError" in said


def test_a_raising_cell_fails_and_the_rest_of_its_chapter_is_skipped(run):
    _, found, _ = run
    assert list(failures(found["raising"])) == ["cell 0"]
    assert "NameError" in failures(found["raising"])["cell 0"]
    assert found["raising"]["cell 1"].startswith("skipped")
    assert found["raising"]["prose"].startswith("skipped")


def test_a_changed_hyperparameter_fails(run):
    _, found, _ = run
    said = failures(found["changed_hyperparameter"])["cell 0"]
    assert "4000" in said and "8000" in said


def line_of(name: str, text: str) -> int:
    return (FRONT + CHAPTERS[name][0]).splitlines().index(text) + 1


def test_each_chapter_is_one_line_and_then_the_slowest_are_named(run):
    _, found, screen = run
    lines = [line for line in screen.splitlines() if re.search(r"\.md +\d+\.\d s", line)]
    assert len(lines) == len(CHAPTERS) == len(found)
    for name in CHAPTERS:
        (line,) = (line for line in lines if f"/{name}.md " in line)
        assert line.endswith("FAILED") == bool(failures(found[name]))
    (told,) = (line for line in screen.splitlines() if "Slowest: " in line)
    assert told.startswith(f"{len(CHAPTERS)} chapters, ") and told.count(".md (") == 3


def test_the_last_on_the_screen_is_what_failed_where_and_how_to_run_it_alone(run):
    folder, found, screen = run
    last = screen.rstrip().split("\n\n")
    told = {Path(part.split(":")[0]).stem: part for part in last if "Run it alone: " in part}
    assert list(told) == [name for name in found if failures(found[name])]
    assert last[-1] in told.values()
    place = folder / "chapters" / "failing_assert.md"
    fault, command = told["failing_assert"].splitlines()
    line = line_of("failing_assert", "assert 1 + 1 == 3, 'sum'")
    assert fault == f"{place}:{line}: AssertionError: sum"
    assert command == f"Run it alone: .venv/bin/python -m pytest -q {place}"
    line = line_of("changed_hyperparameter", "import settings")
    assert (
        f"changed_hyperparameter.md:{line}: Cell outputs differ\n" in told["changed_hyperparameter"]
    )
    assert "wrong_number.md:15: 36,000 is in no cell" in told["wrong_number"]


def test_kernels_have_threads_that_wait_as_the_package_says(run):
    folder, *_ = run
    notebook = chapters.read(folder / "chapters" / "waiting_threads.md")
    executed = store.executed(notebook, folder / "cache")
    assert executed.cells[-1].outputs[0].data["text/plain"] == "'1000'"


def test_the_book_executes_what_the_cache_lacks_and_compares_nothing(tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in ("good", "missing_reference"):
        (tmp_path / "chapters" / f"{name}.md").write_text(FRONT + CHAPTERS[name][0], "utf8")
    assert execute(tmp_path, "--missing")[0] == {
        name: dict.fromkeys(["cell 0", "cell 1"]) for name in ("good", "missing_reference")
    }
    changed = GOOD.replace("[1, 2]", "[1, 3]")
    (tmp_path / "chapters" / "good.md").write_text(FRONT + changed, "utf8")
    assert execute(tmp_path, "--missing")[0] == {"good": dict.fromkeys(["cell 0", "cell 1"])}
    here = str(tmp_path / "chapters" / "good.md")
    assert execute(tmp_path, "--missing", here)[0] == {}  # and is content
    reads = FRONT.replace("jupytext:", "annotated:\n  reads: pages\njupytext:")
    (tmp_path / "chapters" / "good.md").write_text(reads + changed, "utf8")
    for _ in range(2):  # what other pages say may have changed
        assert list(execute(tmp_path, "--missing", here)[0]) == ["good"]


def test_make_reference_writes_what_the_next_run_accepts(tmp_path):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "good.md").write_text(FRONT + GOOD, "utf8")
    assert not failures(execute(tmp_path, "--write-reference")[0]["good"])
    assert json.loads((tmp_path / "reference" / "good.json").read_text("utf8")) == REFERENCE


def test_the_cache_is_dropped_when_the_package_changes(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    assert not store.fresh(cache)
    (cache / "something").touch()
    assert not store.fresh(cache) and (cache / "something").exists()
    monkeypatch.setattr(store, "fingerprint", lambda: "another package")
    assert store.fresh(cache) and not (cache / "something").exists()


def test_the_fingerprint_depends_on_package_pins_and_results(tmp_path):
    package = ("a.py", "a.toml", "a.js", "a.css", "pretrained/model.safetensors")
    names = [*(f"annotated/{name}" for name in package), "requirements.txt"]
    names += ["results/r.json", "results/ablation/toy/base-1.json"]
    for name in names:
        before = store.fingerprint(tmp_path)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", "utf8")
        assert store.fingerprint(tmp_path) != before, name


def test_every_reference_has_its_chapter():
    names = {chapters.name_of(path) for path in chapters.paths()}
    folder = ROOT / "tests" / "reference"
    kept = {x.relative_to(folder).with_suffix("").as_posix() for x in folder.rglob("*.json")}
    assert kept <= names


def words(text: str, source: str = "") -> list[str]:
    """The faults of a chapter with this prose and one cell."""
    notebook = prose.NotebookNode(
        cells=[prose.NotebookNode(cell_type="code", source=source, outputs=[], metadata={})]
    )
    return [said for _, said in prose.faults(text, notebook)]


@pytest.mark.parametrize(
    "text",
    [
        "In 2017, 12 heads and 64 dimensions.",
        "Section 3.2.2, Sections 3.2 and 3.5, Table 3, (Section 5.3), equation 1, 3.2.1.",
        "## 3.2 Attention",
        "[5.3 The optimizer](optimizer.md#n0.123) and <https://x.org/0.123>",
        "arXiv:1706.03762, or 1706.03762v5, Python 3.11 to 3.13 with PyTorch 2.3, CC BY 4.0",
        "`d = 0.123` and ``a `0.123` b`` and $x = 0.123$ and {eq}`e-0.123`",
        "$$\n0.123 \\tag{1}\n$$\n",
        "$$ 0.123 $$",
        "```text\n0.123\n```",
        "```{math}\n0.123\n```",
        ":::{exercise}\n:label: x-0.123\nwords\n:::",
        '<a href="x-0.123.html">a link</a>',
        "<!-- 0.123 -->",
        "% 0.123",
        "newstest2014x, WMT14, Multi30k, d512",
    ],
)
def test_numbers_that_need_no_cell(text):
    assert words(text) == []


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("It reaches 0.123.", "0.123"),
        ("It has 63,045,632 parameters.", "63,045,632"),
        ("It is *28.4* BLEU,", "28.4"),
        (":::{admonition} At 0.123\n:::", "0.123"),
        (":::{tip}\n:class: x\nAt 0.123\n:::", "0.123"),
        ("```{note}\nAt 0.123\n```", "0.123"),
        ("```text\n```\nAt 0.123", "0.123"),
        ("| a | 512 |", "512"),
        ("$x$ is 0.123 and $y$", "0.123"),
        ("about 1800 steps", "1800"),
        ("- after 300 steps", "300"),
    ],
)
def test_numbers_that_need_a_cell(text, token):
    assert words(text) == [f"{token} is in no cell's source or output: glue it, or mend it."]
    assert words(text, f"x = {token.replace(',', '_')}") == []


def test_numbers_in_the_ink_of_a_picture_do_not_count():
    picture = prose.NotebookNode(
        output_type="display_data",
        data={"text/html": '<svg><path d="M 0.123 0"/><text>0.456</text></svg>'},
        metadata={},
    )
    cell = prose.NotebookNode(cell_type="code", source="", outputs=[picture], metadata={})
    book = prose.NotebookNode(cells=[cell])
    assert [said[:5] for _, said in prose.faults("0.123 and 0.456", book)] == ["0.123"]
