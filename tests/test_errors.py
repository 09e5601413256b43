"""`poetgen.errors`: why, fix and exit code."""

import pytest

from poetgen.errors import (
    ConfigError,
    CorpusError,
    ModelFileError,
    OutputError,
    PoetgenError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error_class", "exit_code"),
    [
        (PoetgenError, 1),
        (CorpusError, 1),
        (ModelFileError, 1),
        (OutputError, 1),
        (UsageError, 2),
        (ConfigError, 2),
    ],
)
def test_error_has_why_fix_and_exit_code(error_class: type[PoetgenError], exit_code: int) -> None:
    with pytest.raises(PoetgenError) as caught:
        raise error_class("there is no poem", "Write one.")
    error = caught.value
    assert (error.why, error.fix) == ("there is no poem", "Write one.")
    assert str(error) == "there is no poem\nWrite one."
    assert error.exit_code == exit_code
