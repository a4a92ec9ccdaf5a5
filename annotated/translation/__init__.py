"""From ids to text, and its scores (Section 6.1)."""
