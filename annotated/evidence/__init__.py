"""What the paper argues with: its layer beside others (Section 4)."""
