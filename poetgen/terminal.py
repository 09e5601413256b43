"""Text from outside, made safe to print.

A terminal obeys control characters: they move the cursor, change the title of the window or hide a line.
Bidirectional controls and line separators change what a reader sees.  Prompts, titles, paths, replies of
servers and the symbols of a model file can contain any of them.

Errors and log messages are always escaped.  Poems, tables and paths on standard output are escaped for a
terminal; a pipe or a file gets poems and paths verbatim.  JSON uses its own escapes, so the values that a
program reads are unchanged.  Pages (HTML) have their own escapes.
"""

import json
import sys
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters to escape: C0 and C1, format (bidi, zero width), surrogates, separators."""


def visible(text: str, keep: str = "") -> str:
    r"""Return `text` with its hidden characters, except those in `keep`, as the escapes of JSON.

    >>> print(visible("a\x1b[31m\u202eb\n"))
    a\u001b[31m\u202eb\n
    """
    if text.isprintable():
        return text
    return "".join(
        json.dumps(character)[1:-1]
        if character not in keep and unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def for_stdout(text: str, keep: str = "") -> str:
    """Return `text` as standard output gets it: `visible` for a terminal, verbatim for a pipe or a file."""
    return visible(text, keep) if sys.stdout.isatty() else text


def json_text(values: object, indent: int | None = 1) -> str:
    r"""Return `values` as JSON in Unicode, without hidden characters.

    >>> print(json_text({"text": "床\u202e前"}, indent=None))
    {"text": "床\u202e前"}
    """
    return visible(json.dumps(values, ensure_ascii=False, indent=indent), keep="\n")
