"""Folders: what belongs to a checkpoint is found without PyTorch."""

import subprocess
import sys
from contextlib import ExitStack

from annotated import folders
from annotated.training import checkpoints


def test_folders_are_read_without_pytorch():
    code = "import sys, annotated.folders; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_checkpoints_are_written_by_them():
    assert checkpoints.all_or_nothing is folders.all_or_nothing
    assert checkpoints.complete is folders.complete


def test_a_run_claims_a_folder_that_holds_no_other(tmp_path):
    left = tmp_path / "left"
    (left / "pairs-256").mkdir(parents=True)  # of a run that ended before its first checkpoint
    (left / "log.jsonl").write_text("")
    with ExitStack() as held:
        for free in (tmp_path / "new", left):
            assert folders.claim(free, held)
            with ExitStack() as other:
                assert not folders.claim(free, other)
    (left / "step-00000001").mkdir()
    (tmp_path / "file").write_text("")
    with ExitStack() as held:
        for taken in (left, tmp_path / "file"):
            assert not folders.claim(taken, held)
    assert sorted(x.name for x in left.iterdir()) == ["log.jsonl", "pairs-256", "step-00000001"]
