"""Files: whole files, and folders for one process."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from annotated.files import LOCK, Busy, alone, make, write


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    for text in ("one\n", "zwei ü\n"):
        write(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write(tmp_path / "a.json", "one")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "a.json", "\ud800")
    assert (tmp_path / "a.json").read_text() == "one" and os.listdir(tmp_path) == ["a.json"]


def test_many_writers_at_once_leave_one_s_text(tmp_path):
    texts = [str(i) * 50_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write(tmp_path / "a", text), texts * 4))
    assert (tmp_path / "a").read_text() in texts and os.listdir(tmp_path) == ["a"]


def test_links_and_devices_stay(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    write(tmp_path / "link", "one")
    write(os.devnull, "one")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_text() == "one"
    assert not os.path.isfile(os.devnull)


def test_folders_are_made_once(tmp_path):
    for _ in range(2):
        make(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_one_process_s(tmp_path):
    with alone(tmp_path / "a"):
        with pytest.raises(Busy, match="in use by another process"):
            with alone(tmp_path / "a"):
                pass
        assert os.listdir(tmp_path / "a") == [LOCK]
    assert os.listdir(tmp_path) == []  # nothing came of it
    with alone(tmp_path / "a"):
        (tmp_path / "a" / "file").write_text("one")
    with alone(tmp_path / "a"):
        assert (tmp_path / "a" / "file").read_text() == "one"


def hold(folder, ready):
    with alone(folder):
        ready.set()
        multiprocessing.Event().wait()


def test_a_killed_process_holds_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=hold, args=[tmp_path / "a", ready])
    child.start()
    assert ready.wait(60)
    with pytest.raises(Busy):
        with alone(tmp_path / "a"):
            pass
    child.kill()
    child.join()
    with alone(tmp_path / "a"):
        pass
