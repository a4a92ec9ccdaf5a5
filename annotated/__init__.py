"""The Transformer of *Attention Is All You Need*, as the chapters of the book build it."""

__version__ = "0.1.0"
