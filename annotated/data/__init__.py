"""From text to batches (Section 5.1)."""
