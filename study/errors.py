"""Errors that a user of the program can correct. The command line prints their message without a stack trace."""


class StudyError(ValueError):
    """A command cannot be carried out; the message says why, and what to do instead."""
