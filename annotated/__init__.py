"""The Transformer of *Attention Is All You Need*, as the chapters of the book build it."""

import os
import sys

__version__ = "0.1.0"

if "torch" not in sys.modules:  # with which OpenMP comes, and reads its settings once
    # Threads that wait for one another sleep: one that spins costs many times more where somebody
    # else needs its core (5.2 Speed).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
