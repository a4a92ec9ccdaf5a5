"""What the paper argues with: its layer beside others, and parsing (Sections 4 and 6)."""
