"""Paths of the project's files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the checkout."""

SWEEPS = ROOT / "tests" / "sweeps"
"""Study files of the tests, good and bad."""
