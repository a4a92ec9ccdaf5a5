"""Runs the notebooks as a stranger does: each in an empty folder, on what its first cell installs.

python tools/run_notebooks.py             all chapters
python tools/run_notebooks.py CHAPTER..   these chapters only, or those in these folders

What the first cell installs is a wheel of the repository as it is, in .venv-notebooks, which has a
plain Jupyter and what the package needs: see the Makefile. Nothing of the repository is in reach.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters, notebooks  # noqa: E402

PYTHON = ROOT / ".venv-notebooks" / "bin" / "python"
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
IN_WHEEL = ("annotated", "results", "pyproject.toml", "README.md", "LICENSE")
OURS = ("PYTHONPATH", "VIRTUAL_ENV", "ANNOTATED_DATA")  # variables that a stranger has not


class Stranger(AsyncKernelManager):
    """Starts kernels of the stranger's Python."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        return [str(PYTHON), "-m", "ipykernel_launcher", "-f", self.connection_file]


def wheel(folder: Path) -> Path:
    """Builds the package's wheel in a folder, from a copy: a build leaves its traces."""
    source = folder / "source"
    source.mkdir()
    for name in IN_WHEEL:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, source / name)
    words = ["wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(source)]
    subprocess.run([sys.executable, *PIP, *words], check=True)
    [built] = folder.glob("*.whl")
    return built


def install(built: Path) -> None:
    """Installs the wheel as it is, and with it what it needs, at the versions of the pins."""
    pins = ["--constraint", str(ROOT / "requirements.txt")]
    for words in ([*pins, f"{built}[fast]"], ["--no-deps", "--force-reinstall", str(built)]):
        subprocess.run([PYTHON, *PIP, "install", *words], check=True)


def code_of(path: Path, built: Path) -> tuple[NotebookNode, list[int]]:
    """The code of a chapter's notebook, and the line of the chapter at which each cell begins."""
    cells, lines = [notebooks.first_cell(built.as_uri())], [1]
    for cell in chapters.cells(path):
        source = nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata)
        cells.append(notebooks.code_cell(source))
        lines.append(cell.line)
    return nbformat.v4.new_notebook(cells=cells), lines


def failure(path: Path, built: Path, home: Path) -> str | None:
    """Runs a chapter's notebook in an empty folder; says where it stopped and why, if it did."""
    notebook, lines = code_of(path, built)
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {"HOME": str(home), "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"}
    started: list[int] = []
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_manager_class=Stranger,
            resources={"metadata": {"path": folder}},
            on_cell_start=lambda cell, cell_index: started.append(cell_index),
        )
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            said = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            said = "the kernel died"
        else:
            return None
    return f"{chapters.show(path)}:{lines[started[-1]]}: {said}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", type=Path, help="only these (default: all)")
    paths: list[Path] = []
    for wanted in parser.parse_args(arguments).chapters or [ROOT]:
        found = [path for path in chapters.paths() if path.is_relative_to(wanted.resolve())]
        if not found:
            parser.error(f"there is no chapter in {wanted}")
        paths += found
    if not PYTHON.exists():
        parser.error("there is no .venv-notebooks: make test-notebooks makes it")
    stopped = 0
    with TemporaryDirectory() as home:
        built = wheel(Path(home))
        install(built)
        for path in paths:
            start = time.perf_counter()
            said = failure(path, built, Path(home))
            seconds = time.perf_counter() - start
            print(said or f"{chapters.show(path)}: {seconds:.0f} seconds", flush=True)
            stopped += said is not None
    return int(stopped > 0)


if __name__ == "__main__":
    sys.exit(main())
