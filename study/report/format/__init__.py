"""Blocks, tables and figure files, and their HTML, Markdown and CSV forms."""
