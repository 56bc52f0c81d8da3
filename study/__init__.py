"""Orchestration: from one YAML file to a table that can be trusted."""
