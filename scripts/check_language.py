"""Find phrases with a plainer word in technical English: python scripts/check_language.py [FILE...].

Prints `file:line: "phrase": use "word"` for each and exits with 1 if there are any.  Without FILE, checks
the tracked text files of the repository.

A rule must not match correct code or English: prefer a missed phrase to a false alarm.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SUFFIXES = (".md", ".py", ".yaml", ".toml", ".sh", ".html", ".cff")
SKIPPED = ("scripts/check_language.py", "tests/scripts/test_check_language.py")
"""Files that quote the phrases."""

RULES = {
    r"(?:the )?model that ship(?:s|ped)|shipped model": "the bundled model",
    r"stands? (?:where|in the|in train|in test|on both)": "occurs, is in",
    r"beside": "compared with, next to",
    r"anew": "again",
    r"br(?:oke|oken|eaks|eaking) off": "interrupted, stopped",
    r"go(?:es|ing)? on (?:where|from)|went on (?:where|from)|goes on writing": "resumes, continues",
    r"hangs? on (?:which|what|whether|how|the (?:form|model|number|order|seed|text))": "depends on",
    r"by chance": "at random",
    r"of chance": "random",
    r"told(?! apart)": "conditioned on, given, reported",
    r"tells? (?:a|an|the|its) (?:user|reader|caller|model|network)": "report, warn, condition on",
    r"(?:of|and|has|have) as many(?! as)|as many other|in (?:this|so) many": "n, the same number of",
    r"fore(?:see|sees|saw|seen|seeing)": "predict",
    r"knows? bf16|(?:machines?|cores?|processors?|gpus?) (?:that )?knows?": "support",
    r"seeds hold|seed law|law of seeds": "reproducible: for a given seed",
    r"runs? into a corner": "meets a dead end",
    r"costs? (?:a |the )?training nothing|hardly minds?": "has negligible effect on",
    r"token'?s? kinds?|kinds? of (?:a |the )?(?:next )?tokens?": "token class",
    r"(?:metrics?|figures?) (?:(?:are|is|get|gets) )?marked|marked metrics?": "flagged",
    r"honest figures?|same figures?|test figures|figures differ": "metric, value",
    r"\d[\d,]{2,} places|place in the (?:line|verse|poem)": "position",
    r"(?:tang|song|texts?|poems?|duplicates|training|corpus|forms?|authors?|--[a-z-]+) alone": "only",
    r"(?:initial|memor|normal|optim|quant|regular|token)is(?:e|ed|er|ers|es|ing|ation|ations)": "-ize",
    r"(?:categor|character|emphas|final|general|maxim|minim|organ|parallel|random|real|recogn|serial"
    r"|special|summar|synchron|util|visual)is(?:e|ed|er|ers|es|ing|ation|ations)": "-ize",
    r"analys(?:e|ed|er|ing)": "analyze",
    r"(?:behavi|col|fav|neighb)our(?:s|ed|ing|able|ite)?": "-or",
    r"cent(?:re|res|red)": "center",
    r"(?:label|model)l(?:ed|ing)": "-ed, -ing",
    r"amongst|whilst": "among, while",
}
"""Patterns and the word to use.  Case is ignored; a space matches a line break too."""

ALLOWED = {
    # The key of an old training state.
    ("poetgen/training/checkpoint.py", "optimiser"),
    ("tests/training/trainers.py", "optimiser"),
    # Part of a random seed: another word would change the sample.
    ("poetgen/evaluation/likelihood.py", "told"),
}
"""Phrases that are part of a name or a value, by file."""


class Finding(NamedTuple):
    """A phrase at a line, counted from 1, and the word to use instead."""

    line: int
    phrase: str
    use: str


def _compiled(rules: Iterable[str]) -> re.Pattern[str]:
    """Return one pattern with a group per rule, for text in lower case."""
    # A line break of prose can be followed by an indent, a comment sign or the quotes of a string.
    groups = "|".join(f"({rule})" for rule in rules).replace(" ", r'[\s#"]+')
    return re.compile(rf"(?<!\w)(?=[a-z\d-])(?:{groups})(?!\w)")


_PATTERN, _WORDS = _compiled(RULES), tuple(RULES.values())
_DOCSTRING = re.compile(r'"""(What|Of|Whose) ')


def find_phrases(text: str) -> Iterator[Finding]:
    """Yield the phrases of a text.

    >>> list(find_phrases("Begun anew."))
    [Finding(line=1, phrase='anew', use='again')]
    """
    for match in _PATTERN.finditer(text.lower()):
        yield _finding(text, match, _WORDS[(match.lastindex or 0) - 1])
    for match in _DOCSTRING.finditer(text):
        yield _finding(text, match, "a noun phrase or a verb")


def _finding(text: str, match: re.Match[str], use: str) -> Finding:
    phrase = " ".join(re.sub('[#"]', " ", match[0]).split())
    return Finding(text.count("\n", 0, match.start()) + 1, phrase, use)


def tracked_files() -> list[Path]:
    """Return the tracked text files of the repository, relative to its root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")
    return [Path(name) for name in names if name.endswith(SUFFIXES) and (ROOT / name).is_file()]


def main(arguments: Sequence[str] = ()) -> int:
    """Print the phrases found in the files named, or in all; return the exit code."""
    num_found = 0
    for path in map(Path, arguments) if arguments else tracked_files():
        name = path.as_posix()
        if name in SKIPPED:
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        for line, phrase, use in sorted(find_phrases(text)):
            if (name, phrase) not in ALLOWED:
                print(f'{name}:{line}: "{phrase}": use "{use}"')
                num_found += 1
    return min(num_found, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
