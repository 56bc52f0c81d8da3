"""YAML text to a `StudyConfig`, or every problem of the file with its line and column."""
