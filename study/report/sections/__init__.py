"""The sections of the report, one topic a file."""
