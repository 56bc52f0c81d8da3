"""Values and tools that every other room may use."""
