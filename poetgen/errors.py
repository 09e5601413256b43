"""Errors reported to users: a reason, advice, and an exit code.

Library code raises these for everything that bad input, files or machines can cause; the command line
prints them and exits.  An `assert` marks a bug in poetgen.
"""


class PoetgenError(Exception):
    """Base class of all errors reported to users.

    `why` is one line: what was expected, what was found, and where.  `fix` is one line: what to do.
    """

    exit_code = 1

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.why}\n{self.fix}"


class CorpusError(PoetgenError):
    """The corpus is missing, empty, unreadable or cannot be downloaded."""


class ModelFileError(PoetgenError):
    """A model file or a training state is missing, damaged or of an unsupported version."""


class OutputError(PoetgenError):
    """A result cannot be written."""


class UsageError(PoetgenError):
    """An option, a prompt or another argument is invalid."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has unknown keys or invalid values; `why` lists each on its own line."""


class ConstraintError(PoetgenError):
    """A constraint conflicts with the prompt, the vocabulary or every continuation."""

    exit_code = 3
