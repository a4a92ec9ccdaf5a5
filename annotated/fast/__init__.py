"""What makes it fast, and harder to read."""
