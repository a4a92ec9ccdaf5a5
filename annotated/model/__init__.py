"""The model of Section 3."""
