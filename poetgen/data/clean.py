"""Turn raw records into poems; count what is dropped or changed, by reason.

Steps per record:
1. Remove editors' notes; unwrap restored characters.
2. Normalize the text.
3. Remove stray characters; close an unfinished end.
4. Drop the record if it has a lacuna or an unencoded glyph, or is a stub, prose or a duplicate.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from poetgen.data.normalize import collapse_marks, normalize, normalize_by_steps
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.read import BrokenRecord, RawRecord
from poetgen.language import tr, tr_noop, tr_plural
from poetgen.prosody.marks import MARKS, STOPS, split_lines

# （一作「雨」） and 〖…〗 are editors' notes.  They nest.  Upstream truncated some records, so the last
# note may lack its closing bracket; it then extends to the end.
_NOTE_BRACKET = re.compile(r"[（()）〖〗]")
_OPENING = {"（": "(", "(": "(", "〖": "〖"}
"""The opening brackets of notes, and the name of their pair."""
_CLOSING = {"）": "(", ")": "(", "〗": "〖"}
# 何勞說苦[辛]: the editor restored 辛, and the line needs it to scan.  Only the brackets are removed.
_RESTORED = re.compile(r"[\[［]([^\[\]［］]*)[\]］]")
_LACUNAE = frozenset("□○●〇◯■▢\ufffd")
# {山瞿} describes one glyph by its parts.  Private-use characters are as unusable.
_SPELLED_OUT = re.compile(r"[{}｛｝\u2ff0-\u2fff\ue000-\uf8ff]")

MIN_HANZI = 8
"""A text with fewer Han characters is a stub."""

MAX_LINE = 16
"""Characters in the longest line of verse; longer stretches without a mark are prose."""

_LABELS = {
    "broken_record": tr_noop("broken record"),
    "empty": tr_noop("empty"),
    "lacuna": tr_noop("lacuna"),
    "unencoded_character": tr_noop("unencoded character"),
    "stub": tr_noop("stub"),
    "prose": tr_noop("prose"),
    "duplicate": tr_noop("duplicate"),
    "near_held_out": tr_noop("near held out"),
    "note_removed": tr_noop("note removed"),
    "restored_character": tr_noop("restored character"),
    "mark_folded": tr_noop("mark folded"),
    "mark_doubled": tr_noop("mark doubled"),
    "simplified": tr_noop("converted to simplified"),
    "variant_folded": tr_noop("variant folded"),
    "stray_mark": tr_noop("stray mark"),
    "closed": tr_noop("closed with a stop"),
    "cut": tr_noop("cut to the token limit"),
}
"""The reasons to drop a record, then the changes to a poem, as texts; data/README.md explains them."""


@dataclass
class CleaningReport:
    """Counts of records; `read == kept + dropped.total()`."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """Location and reason of each broken record."""

    def faults(self, limit: int = 5) -> list[str]:
        """Return a message for each of the first `limit` broken records, and one for the rest."""
        messages = [tr("broken record dropped: {fault}", fault=one) for one in self.broken[:limit]]
        if (num_more := len(self.broken) - limit) > 0:
            messages.append(
                tr_plural(
                    num_more,
                    "{num:,} more broken record dropped",
                    "{num:,} more broken records dropped",
                )
            )
        return messages


def clean(records: Iterable[RawRecord | BrokenRecord]) -> tuple[list[Poem], CleaningReport]:
    """Return the distinct poems among `records`, in order, and the counts of everything else."""
    report = CleaningReport()
    poems: list[Poem] = []
    seen: set[str] = set()
    for record in records:
        report.read += 1
        if isinstance(record, BrokenRecord):
            report.broken.append(f"{record.location}: {record.why}")
            report.dropped["broken_record"] += 1
            continue
        text, changes = clean_text(record.text)
        reason = drop_reason(text)
        poem = Poem(text, normalize(record.title), normalize(record.author))
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
    """Return the verse in `raw` and the names of the changes made.

    Lacunae and spelled-out glyphs stay in the text so that `drop_reason` finds them.

    >>> clean_text("白日依山盡(一作尽),黃河入海流")
    ('白日依山尽，黄河入海流。', ['note_removed', 'mark_folded', 'simplified', 'closed'])
    """
    changes = []
    text, restored = _RESTORED.subn(r"\1", _without_notes(raw))
    if len(text) + 2 * restored != len(raw):
        changes.append("note_removed")
    if restored:
        changes.append("restored_character")
    text, steps = normalize_by_steps(text)
    changes += steps
    # Removing a stray character can join two marks; a poem never begins with a mark.
    final = collapse_marks("".join(filter(_is_permitted, text))).lstrip(MARKS)
    if final != text:
        changes.append("stray_mark")
    if final and final[-1] not in STOPS:
        final = final.rstrip(MARKS) + "。"
        changes.append("closed")
    return final, changes


def reason_label(name: str) -> str:
    """Return the text for a reason to drop a record, or for a change to a poem."""
    return tr(_LABELS[name])


def drop_reason(text: str) -> str | None:
    """Return the reason to drop a cleaned text, or None to keep it."""
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
    """Return `text` without notes, in time linear in its length.

    A closing bracket ends the nearest open note of its pair, and those that began in it; one without an
    open note stays.
    """
    kept: list[str] = []
    opened: list[tuple[str, int]] = []  # the pair of each open note, and its index in `kept`
    num_open = {"(": 0, "〖": 0}
    end = 0
    for found in _NOTE_BRACKET.finditer(text):
        bracket = found[0]
        kept.append(text[end : found.start()])
        end = found.end()
        if pair := _OPENING.get(bracket):
            opened.append((pair, len(kept)))
            num_open[pair] += 1
        elif num_open[_CLOSING[bracket]]:
            pair = ""
            while pair != _CLOSING[bracket]:
                pair, index = opened.pop()
                num_open[pair] -= 1
                del kept[index:]
        else:
            kept.append(bracket)
    if opened:
        return "".join(kept[: opened[0][1]])
    return "".join([*kept, text[end:]])


def _is_permitted(c: str) -> bool:
    return is_hanzi(c) or c in MARKS or c in _LACUNAE or _SPELLED_OUT.match(c) is not None
