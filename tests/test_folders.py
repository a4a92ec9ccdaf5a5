"""Folders: what belongs to a checkpoint is found without PyTorch."""

import subprocess
import sys

from annotated import folders
from annotated.training import checkpoints


def test_folders_are_read_without_pytorch():
    code = "import sys, annotated.folders; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_checkpoints_are_written_by_them():
    assert checkpoints.all_or_nothing is folders.all_or_nothing
    assert checkpoints.complete is folders.complete
