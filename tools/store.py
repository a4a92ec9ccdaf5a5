"""The jupyter-cache of executed chapters: the tests fill it, the book reads it.

jupyter-cache compares the cells of a chapter, and knows nothing of the package that they import. So
a stamp lies beside it: a hash of all that the outputs depend on. Where the stamp is not that of
today, the cache is dropped.

python tools/store.py    drop the cache if it is stale (make book does this first)
"""

import hashlib
import shutil
import sys
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "_build" / ".jupyter_cache"
STAMP = "annotated.stamp"
SOURCES = (
    *(f"annotated/**/*.{kind}" for kind in ("py", "toml", "js", "css")),
    "annotated/pretrained/*",
    "requirements.txt",
    "results/**/*.json",
)


def fingerprint(root: Path = ROOT) -> str:
    """A hash of the package and its model, the pins, the recorded results, Python's version."""
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def fresh(cache: Path = CACHE) -> bool:
    """Drops the cache if it is stale, and stamps it. Returns whether anything was dropped."""
    stamp, now = cache / STAMP, fingerprint()
    if stamp.exists() and stamp.read_text("utf8") == now:
        return False
    dropped = cache.exists()
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    stamp.write_text(now, "utf8")
    return dropped


def keep(notebook: NotebookNode, path: Path, seconds: float, cache: Path = CACHE) -> None:
    """Puts an executed chapter into the cache."""
    fresh(cache)
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    get_cache(cache).cache_notebook_bundle(bundle, check_validity=True, overwrite=True)


def executed(notebook: NotebookNode, cache: Path = CACHE) -> NotebookNode | None:
    """The chapter with its outputs from the cache, or None where the cache does not have it."""
    fresh(cache)
    try:
        return get_cache(cache).merge_match_into_notebook(notebook)[1]
    except KeyError:
        return None


if __name__ == "__main__":
    if fresh():
        print("The package has changed: chapters executed before are dropped.")
