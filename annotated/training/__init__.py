"""Optimizer, loss and loop (Sections 5.2 to 5.4)."""
