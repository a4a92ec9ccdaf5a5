"""The Transformer of *Attention Is All You Need*, as the chapters of the book build it."""

import os
import sys

__version__ = "0.1.0"

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # How threads wait for one another is read once, when torch is loaded: by spinning for
    # milliseconds, they cost many times more where somebody else needs a core (5.2 Speed).
    if sys.platform == "linux":  # by PyTorch's own libgomp: some microseconds, then sleep
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    else:
        os.environ["OMP_WAIT_POLICY"] = "passive"
