"""Importing the package: it loads nothing, and says how the threads of OpenMP wait."""

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SAY = f"import os, sys; print(*map(os.environ.get, {NAMES}), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("before", "chosen", "then"),
    [
        ("", {}, "None 1000 False"),
        ("", {"GOMP_SPINCOUNT": "7"}, "None 7 False"),
        ("", {"OMP_WAIT_POLICY": "active"}, "active None False"),
        ("import sys; sys.platform = 'darwin'", {}, "passive None False"),
        ("import torch", {}, "None None True"),  # which has read the setting: too late
    ],
)
def test_threads_spin_briefly_unless_the_user_has_chosen(before, chosen, then):
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | chosen
    code = f"{before}\nimport annotated\n{SAY}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.decode().strip() == then
