"""The errors a user can meet: one line why, one line what to do, and an exit code.

Library code raises these for anything that bad input, a bad file or a bad machine can cause;
the command line prints them and exits.  An `assert` elsewhere marks a mistake of our own.
"""


class PoetgenError(Exception):
    """It could not be done: a file, a model, a corpus, the network.

    `why` says in one line what was expected and found where; `fix` says in one line what to do.
    """

    exit_code = 1

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.why}\n{self.fix}"


class CorpusError(PoetgenError):
    """The corpus is missing, empty, unreadable or could not be downloaded."""


class ModelFileError(PoetgenError):
    """A model file or a training state is missing, damaged or of another version."""


class OutputError(PoetgenError):
    """A result could not be written."""


class UsageError(PoetgenError):
    """The call is wrong: an option, a prompt."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has unknown keys or bad values; `why` lists every one, a line each."""


class ConstraintError(PoetgenError):
    """A constraint cannot be met: by the prompt, by the vocabulary, or by any way to go on."""

    exit_code = 3
