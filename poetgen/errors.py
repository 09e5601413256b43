"""Errors reported to users: a reason, advice, and an exit code.

Library code raises these for everything that bad input, files or machines can cause; the command line
prints them and exits.  An `assert` marks a bug in poetgen.
"""

MAX_LINE = 1000
"""Characters in a line of an error; the middle of a longer one is left out."""
MAX_LINES = 30
"""Lines of an error."""


def shorten(text: str, limit: int = 100) -> str:
    """Return `text`, or its beginning and its end with … between them, of at most `limit` characters.

    Quotes what a user gave, which may be of any length.

    >>> shorten("床前明月光", 4), shorten("床前", 4)
    ('床前…光', '床前')
    """
    if len(text) <= limit:
        return text
    num_last = (limit - 1) // 2
    return f"{text[: limit - 1 - num_last]}…{text[len(text) - num_last :]}"


class PoetgenError(Exception):
    """Base class of all errors reported to users.

    `why` is one line: what was expected, what was found, and where.  `fix` is one line: what to do.
    Both are bounded, whatever values they quote.
    """

    exit_code = 1

    def __init__(self, why: str, fix: str) -> None:
        self.why = _bounded(why)
        self.fix = _bounded(fix)
        super().__init__(self.why)

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


def _bounded(text: str) -> str:
    """Return a text of at most `MAX_LINES` lines of `MAX_LINE` characters."""
    lines = shorten(text, 2 * MAX_LINES * MAX_LINE).split("\n")
    kept = lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], "…"]
    return "\n".join(shorten(line, MAX_LINE) for line in kept)
