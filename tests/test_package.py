"""Importing the package: it loads nothing, and lets the threads of OpenMP sleep while they wait."""

import os
import subprocess
import sys

import pytest

SAY = "import os, sys; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("before", "chosen", "then"),
    [
        ("", None, "passive False"),
        ("", "active", "active False"),
        ("import torch", None, "None True"),  # which has read the setting: too late
    ],
)
def test_threads_sleep_unless_the_user_has_chosen(before, chosen, then):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": chosen} if chosen else {}
    code = f"{before}\nimport annotated\n{SAY}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.decode().strip() == then
