"""The study directory, source of truth: records, lock, manifest, and what may change on resume."""
