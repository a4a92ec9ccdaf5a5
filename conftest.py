"""Chapters are tests: see tools/collector.py."""

pytest_plugins = ["tools.collector"]
