"""The language of messages: English, as the code has it, or Chinese, by one catalogue.

Every text for a reader is written where it is used, in English, as a literal argument of `tr` or
`tr_plural`, so that a test can compare all of them with the catalogue `resources/messages.zh.json`.  A
text that is declared in one place and shown in another, such as a column heading, is wrapped in `tr_noop`
where it is declared and translated by `tr` where it is shown.  Keys, file formats and poems have no
language.

The library speaks English until `set_language` is called; the command line calls it at its start.
"""

import json
import locale
import os
import sys
from collections.abc import Mapping
from pathlib import Path

CATALOGUE = Path(__file__).parent / "resources" / "messages.zh.json"
VARIABLE = "POETGEN_LANGUAGE"

_catalogue: Mapping[str, str] = {}
"""English text → Chinese text; empty for English."""


def tr(text: str, /, **values: object) -> str:
    """Return a text in the current language, with `values` in place of its {names}.

    >>> tr("{num:,} poems in {file}", num=1200, file="poems.txt")
    '1,200 poems in poems.txt'
    """
    text = _catalogue.get(text, text)
    return text.format(**values) if values else text


def tr_plural(num: int, one: str, many: str, /, **values: object) -> str:
    """Return `one` or `many`, whichever suits `num`, as `tr` does; {num} is the number.

    >>> tr_plural(1, "{num:,} poem", "{num:,} poems"), tr_plural(2000, "{num:,} poem", "{num:,} poems")
    ('1 poem', '2,000 poems')
    """
    return tr(one if num == 1 else many, num=num, **values)


def tr_noop(text: str, /) -> str:
    """Return a text unchanged; marks it as one that `tr` translates elsewhere."""
    return text


def set_language(language: str | None = None) -> None:
    """Make `language` that of all texts from here on: en or zh; None: as the environment asks.

    The environment asks by $POETGEN_LANGUAGE, else by its locale.
    """
    global _catalogue
    if language is None:
        names = (VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG")
        language = next(filter(None, map(os.environ.get, names)), None)
        if language is None and sys.platform == "win32":
            language = locale.getlocale()[0]
    is_chinese = (language or "").lower().startswith(("zh", "chinese"))
    _catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8")) if is_chinese else {}


def current_language() -> str:
    """Return the language of texts, en or zh."""
    return "zh" if _catalogue else "en"
