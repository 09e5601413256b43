"""Values that shell completion offers for an option.

A function takes the text before the cursor and returns the values that begin with it; Typer calls it
when the shell asks.  An error must not reach the terminal, so what cannot be read offers nothing.
"""

from collections.abc import Iterable

from poetgen.errors import PoetgenError


def forms(incomplete: str) -> list[str]:
    """Return the forms, and their names in pinyin."""
    from poetgen.prosody.forms import FORMS

    names = [form.name for form in FORMS.values()] + [form.alias for form in FORMS.values()]
    return _beginning(names, incomplete)


def rhyme_groups(incomplete: str) -> list[str]:
    """Return the 106 rhyme groups, level ones first."""
    from poetgen.prosody.phonology import rhyme_groups as groups

    return _beginning(dict.fromkeys([*groups("平"), *groups()]), incomplete)


def authors(incomplete: str) -> list[str]:
    """Return the authors that the default model can be conditioned on, by number of poems."""
    from poetgen.data.conditions import known_authors
    from poetgen.model.format import read_header
    from poetgen.runs import find_model

    try:
        return _beginning(known_authors(read_header(find_model().path).vocab), incomplete)
    except PoetgenError:
        return []


def configurations(incomplete: str) -> list[str]:
    """Return the names of the bundled configurations."""
    from poetgen.config import config_names

    return _beginning(config_names(), incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the names of the runs in checkpoints/."""
    from poetgen.runs import CONFIG, RUNS

    return _beginning(sorted(file.parent.name for file in RUNS.glob(f"*/{CONFIG}")), incomplete)


def models(incomplete: str) -> list[str]:
    """Return the names of models: the runs, and the bundled model."""
    from poetgen.runs import BUNDLED

    return [*runs(incomplete), *_beginning([BUNDLED.stem], incomplete)]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
