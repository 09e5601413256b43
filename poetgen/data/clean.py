"""Raw records in, poems out, with a count and a reason for all that is dropped or changed.

The dirt of the public corpus, in the order it is dealt with: editors' notes, restored characters in
brackets, lacunae, glyphs spelled out because Unicode lacked them, stray marks, unfinished ends,
stubs, prose, duplicates.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from poetgen.data.normalise import normalise, normalise_by_steps, single_marks
from poetgen.data.poem import MARKS, STOPS, Poem, is_hanzi, split_lines
from poetgen.data.read import BrokenRecord, RawRecord

# （一作「雨」） and 〖…〗 are an editor's words.  They nest, and the last one of a record may have lost
# its closing bracket when upstream cut the record: then it runs to the end.
_NOTE = re.compile(r"[（(][^（()）]*[)）]|〖[^〖〗]*〗")
_OPEN_NOTE = re.compile(r"[（(〖].*$", re.DOTALL)
# 何勞說苦[辛]: the editor restored 辛, and the line needs it to scan.  Only the brackets go.
_RESTORED = re.compile(r"[\[［]([^\[\]［］]*)[\]］]")
_LACUNAE = frozenset("□○●〇◯■▢\ufffd")
# {山瞿}: one glyph described by its parts.  Private-use characters are the same trouble.
_SPELLED_OUT = re.compile(r"[{}｛｝\u2ff0-\u2fff\ue000-\uf8ff]")

MIN_HANZI = 8
"""Fewer Han characters than two lines of four are a stub."""

MAX_LINE = 16
"""A longer stretch without a mark is prose (a preface, a catalogue entry), not a line of verse."""


@dataclass
class CleaningReport:
    """What became of the records: `read == kept + sum(dropped.values())`."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """The place and fault of each broken record."""

    def faults(self, most: int = 5) -> list[str]:
        """What to tell of the broken records: the first ones by name, and how many there are."""
        told = [f"left out {fault}" for fault in self.broken[:most]]
        if len(self.broken) > most:
            told.append(f"left out {len(self.broken) - most} more broken records")
        return told


def clean(records: Iterable[RawRecord | BrokenRecord]) -> tuple[list[Poem], CleaningReport]:
    """The poems among `records`, in order, each text once, and the count of everything else."""
    report = CleaningReport()
    poems: list[Poem] = []
    seen: set[str] = set()
    for record in records:
        report.read += 1
        if isinstance(record, BrokenRecord):
            report.broken.append(f"{record.place}: {record.why}")
            report.dropped["broken_record"] += 1
            continue
        text, changes = clean_text(record.text)
        reason = why_not(text)
        poem = Poem(text, normalise(record.title), normalise(record.author))
        if reason is None and poem.characters in seen:
            reason = "duplicate"
        if reason is not None:
            report.dropped[reason] += 1
            continue
        seen.add(poem.characters)
        report.changed.update(changes)
        poems.append(poem)
    report.kept = len(poems)
    return poems, report


def clean_text(raw: str) -> tuple[str, list[str]]:
    """The verse in `raw` and the names of the changes that it took to lay it bare.

    Lacunae and spelled-out glyphs stay in the text, for `why_not` to find.
    """
    changes = []
    text, restored = _RESTORED.subn(r"\1", _without_notes(raw))
    if len(text) + 2 * restored != len(raw):
        changes.append("note_removed")
    if restored:
        changes.append("restored_character")
    text, steps = normalise_by_steps(text)
    changes += steps
    # A stray mark may have stood between two marks; and no poem begins with one.
    final = single_marks("".join(c for c in text if _may_stand(c))).lstrip(MARKS)
    if final != text:
        changes.append("stray_mark")
    if final and final[-1] not in STOPS:
        final = final.rstrip(MARKS) + "。"
        changes.append("closed")
    return final, changes


def why_not(text: str) -> str | None:
    """The reason to drop a cleaned text, or None to keep it."""
    if not text:
        return "empty"
    if any(c in _LACUNAE for c in text):
        return "lacuna"
    if _SPELLED_OUT.search(text):
        return "unencoded_character"
    lines = split_lines(text)
    if len(lines) < 2 or sum(map(len, lines)) < MIN_HANZI:
        return "stub"
    if max(map(len, lines)) > MAX_LINE:
        return "prose"
    return None


def _without_notes(text: str) -> str:
    while True:
        shorter = _NOTE.sub("", text)
        if shorter == text:
            return _OPEN_NOTE.sub("", text)
        text = shorter


def _may_stand(c: str) -> bool:
    return is_hanzi(c) or c in MARKS or c in _LACUNAE or _SPELLED_OUT.match(c) is not None
