"""Files that are whole or not there, and folders that one process has to itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

LOCK = ".lock"  # in a folder that a process has, or had, to itself


class Busy(ValueError):
    """Another process has the folder to itself: one sentence."""


def settle(path: Path) -> None:
    """Do not go on before the disk has what a file holds or what a folder lists."""
    if path.is_dir():
        with suppress(OSError):  # not every system can do that
            sync(path, os.O_RDONLY)
    else:
        sync(path, os.O_RDWR)


def sync(path: Path, flags: int) -> None:
    """os.fsync by name."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing, so that the disk has them."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        settle(each.parent)


def put(part: Path, path: Path) -> None:
    """Give what is written, a file or a folder of files, its own name: all or nothing.

    The disk has all of it before, and the new name after. The folder above must be there.
    """
    for each in [*part.iterdir(), part] if part.is_dir() else [part]:
        settle(each)
    part.replace(path)
    settle(path.parent)


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of UTF-8, whole or not at all, whoever else writes it at the same time."""
    path = Path(path).resolve()  # a link stays one
    if path.exists() and not path.is_file():  # such as /dev/stdout
        path.write_text(text, encoding="utf-8")
        return
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        put(part, path)
    finally:
        part.unlink(missing_ok=True)


def permit(file: Path) -> None:
    """Give a file the permissions of any new one: some libraries write for their user alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    file.chmod(0o666 & ~mask)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have a folder to oneself, until the end or a kill; raises Busy where another process has it.

    It is made where it is missing, and removed at the end where it is empty.
    """
    make(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Busy(f"{folder} is in use by another process: let it end") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes nothing that is open
            (folder / LOCK).unlink()
        lock.release()
        with suppress(OSError):  # most are not empty
            folder.rmdir()
