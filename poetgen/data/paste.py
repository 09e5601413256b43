"""Read poems as people paste them: line breaks or spaces for marks, title and author with the verse.

How a text is read:
1. Text with a poem per line, the layout of a corpus file, goes to `read`, JSON Lines too.  Most of its
   lines hold three lines of verse or more, and none looks like a title.
2. Any other text is pasted.  A line break or a space ends a line of verse.  A new poem begins below a
   title, and after a blank line between two stanzas that each have one of the four forms.
3. Title and author are recognized by their notation (《静夜思》, [唐] 李白, 作者：李白, ——李白 at the end),
   or, at the top, because the verse below them has marks or lines of one length and they have not.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from poetgen.data.clean import clean_text
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.read import MAX_TEXT, BrokenRecord, RawRecord, read_lines
from poetgen.errors import UsageError
from poetgen.language import tr
from poetgen.prosody.forms import FORMS, OTHER, form_of

_PAUSE = re.compile("[，。！？、；,.!?;]")
_LINE_END = re.compile("[，。！？、；：,.!?;:…—]")
"""Ends of a line of verse within a piece; a title may contain ： and —."""

_MAX_LINES = max(form.num_lines for form in FORMS.values())

_MAX_HEADING = 6
"""Pieces above the verse: title, subtitle, dynasty and author, some of them in two words."""

_MAX_NOTATION = 40
"""Characters of a piece that may name a title or an author; limits the work on odd texts."""

_DYNASTY = (
    "(?:(?:先秦|两汉|三国|魏晋|南北朝|五代|近代|现代|当代|民国|后蜀|[初盛中晚南]?唐|[东西]?[汉晋]|[南北]朝|[南北]?宋"
    "|[魏隋辽金元明清])[代朝]?)"
)
_OF_DYNASTY = re.compile(
    rf"[\[［【〔（(]{_DYNASTY}[\]］】〕）)](?P<after>.{{0,8}})"
    rf"|(?P<before>.{{1,8}})[\[［【〔（(]{_DYNASTY}[\]］】〕）)]"
    rf"|{_DYNASTY}(?:[·•・:：-](?P<named>.{{1,8}}))?"
)
_LABELED = re.compile("(?:(作者|诗人|词人)|(标题|题目|诗题|诗名|篇名)|(?:朝代|年代))[：:](.*)")
_NUMBERED = re.compile("其[一二三四五六七八九十]+")
_DASHES = re.compile("[-—–/|｜丨~～]+")
_TITLED = re.compile("([^，。！？、；：,.!?;:]{1,30})[：:](.*[，。！？、；,.!?;].*)")


class _Piece(NamedTuple):
    """A stretch of a pasted text without white space."""

    text: str
    row: int = 0
    block: int = 0
    """Number of the stretch between blank lines that it is in."""

    @property
    def is_plain(self) -> bool:
        """Whether it has no marks, as a title and some verse."""
        return not _PAUSE.search(self.text)

    @property
    def is_name(self) -> bool:
        """Whether it can be the name of an author."""
        return self.is_plain and 2 <= len(_hanzi(self.text)) <= 4

    @property
    def is_notation(self) -> bool:
        """Whether it names a title or an author by the way it is written."""
        if len(self.text) > _MAX_NOTATION or not self.is_plain:
            return False
        patterns = (_LABELED, _OF_DYNASTY, _NUMBERED)
        return any(p.fullmatch(self.text) for p in patterns) or bool(_quoted(self.text))


@dataclass
class _Draft:
    """The pieces of a poem, sorted."""

    heading: list[_Piece]
    verse: list[_Piece]
    signature: list[_Piece]
    """Title and author below the verse."""

    def continues_in(self, stanza: "_Draft") -> bool:
        """Return whether `stanza`, which follows, is part of this poem."""
        if stanza.heading or self.signature:
            return False
        if OTHER in (_form(self.verse), _form(stanza.verse)):
            return True
        # Two quatrains are an octave under one title, unless it announces several poems (三首).
        is_octave = _form(self.verse + stanza.verse) != OTHER
        return is_octave and bool(self.heading) and "首" not in self.heading[0].text

    def poem(self) -> Poem:
        above, below = _title_and_author(self.heading), _title_and_author(self.signature)
        verse = "，".join(piece.text for piece in self.verse)
        _check_length(verse, *above, *below)
        text, _changes = clean_text(verse)
        return Poem(text, above[0] or below[0], above[1] or below[1])


def read_poems(text: str) -> list[Poem]:
    """Return the poems in a text of any layout, cleaned; those without title or author have "".

    Takes time linear in the length of the text.

    >>> poem, = read_poems("静夜思 [唐] 李白 床前明月光 疑是地上霜 举头望明月 低头思故乡")
    >>> poem.title, poem.author, poem.lines[0]
    ('静夜思', '李白', '床前明月光')

    Raises:
        UsageError: a poem or its title is too long.
    """
    if text.lstrip().startswith("{") or _has_poem_per_line(text):
        return poems_in(read_lines(text.encode("utf-8", "replace"), ""))
    return [poem for poem in (draft.poem() for draft in _drafts(text)) if poem.lines]


def poems_in(records: Iterable[RawRecord | BrokenRecord]) -> list[Poem]:
    """Return the poems of those records that have any verse, cleaned; none is dropped as a stub."""
    poems = [
        Poem(clean_text(record.text)[0], _printable(record.title), _printable(record.author))
        for record in records
        if isinstance(record, RawRecord)
    ]
    return [poem for poem in poems if poem.lines]


def _has_poem_per_line(text: str) -> bool:
    rows = [_pieces(row) for row in _rows(text) if row]
    num_whole = 0
    for row in rows:
        is_whole = len(_lines(row)) >= 3 and not any(piece.is_notation for piece in row)
        if _are_plain(row) and not is_whole:
            return False  # perhaps a title
        num_whole += is_whole
    return len(rows) > 1 and 2 * num_whole > len(rows)


def _rows(text: str) -> list[str]:
    """Return the rows of a text; a comment, or a row without Han characters, counts as blank."""
    rows = [row.strip() for row in text.splitlines()]
    return [row if _hanzi(row) and not row.startswith("#") else "" for row in rows]


def _pieces(text: str, row: int = 0, block: int = 0) -> list[_Piece]:
    """Return the pieces of a row; characters that are set apart one by one are joined."""
    words = re.sub(r"^(—+|-+)\s+", r"\1", text).split()  # —— 李白
    if len(words) > 1 and all(len(_hanzi(word)) <= 1 for word in words):
        words = ["".join(words)]
    titled = _TITLED.fullmatch(words[0])
    if titled and not _LABELED.match(words[0]):
        words[:1] = titled.groups()  # 静夜思：床前明月光，…
    return [_Piece(word, row, block) for word in words if _hanzi(word)]


def _drafts(text: str) -> list[_Draft]:
    """Return the poems of a pasted text."""
    drafts: list[_Draft] = []
    for block in _blocks(text):
        draft = _sort(block)
        if drafts and drafts[-1].continues_in(draft):
            drafts[-1].verse += draft.verse
            drafts[-1].signature = draft.signature
        else:
            drafts.append(draft)
    return drafts


def _blocks(text: str) -> list[list[_Piece]]:
    """Return the stretches of a text that may be poems of their own, each with its title."""
    blocks: list[list[_Piece]] = [[]]
    num_blanks = 0
    for number, row in enumerate(_rows(text)):
        if not row:
            num_blanks += 1
            blocks.append([])
            continue
        pieces, last = _pieces(row, number, num_blanks), _last_row(blocks[-1])
        is_title = pieces[0].is_notation and not _may_be_title(blocks[-1])
        if is_title or (_form(last) != OTHER and _are_plain(pieces) and len(_lines(pieces)) < 3):
            blocks.append([])
        blocks[-1] += pieces
    return _with_titles([block for block in blocks if block])


def _with_titles(blocks: list[list[_Piece]]) -> list[list[_Piece]]:
    """Return the blocks; those that may be a title are joined to the next, a signature to the last."""
    joined: list[list[_Piece]] = []
    for number, block in enumerate(blocks):
        is_end = number == len(blocks) - 1 and _is_signature(block) and _last_row(block) == block
        if joined and (is_end or _may_be_title(joined[-1])):
            joined[-1] += block
        else:
            joined.append(block)
    return joined


def _may_be_title(block: Sequence[_Piece]) -> bool:
    """Return whether a block, perhaps a title, perhaps lines without marks, is not yet a poem."""
    return len(block) <= _MAX_HEADING + _MAX_LINES and _are_plain(block) and not _has_form(block)


def _sort(pieces: list[_Piece]) -> _Draft:
    last = _last_row(pieces)
    num_below = len(last) if len(last) < len(pieces) and _is_signature(last) else 0
    rest = pieces[: len(pieces) - num_below]
    num_above = _num_headings(rest)
    return _Draft(rest[:num_above], rest[num_above:], pieces[len(rest) :])


def _num_headings(pieces: Sequence[_Piece]) -> int:
    """Return how many of the first pieces are title and author.

    At least one piece is verse.  Where neither notation nor verse decides, there are none.
    """
    plain = takewhile(lambda piece: piece.is_plain, pieces[:_MAX_HEADING])
    most = min(len(list(plain)), len(pieces) - 1)
    noted = _num_noted(pieces, most)
    numbers = range(noted, most + 1)
    # The last piece of a heading without notation is an author, or the title is all there is.
    likely = [n for n in numbers if n <= max(noted, 1) or pieces[n - 1].is_name]
    for num in likely:
        if _form(pieces[num:]) != OTHER:
            return num
    below = pieces[most:]
    num_plain = sum(piece.is_plain for piece in below)
    if num_plain == 0 and len(_lines(below)) > 2:
        return most
    if 3 * num_plain <= len(below):
        length = len(_lines(below)[0])
        found = [n for n in numbers if n and len(_hanzi(pieces[n - 1].text)) != length]
    else:
        found = [n for n in likely if n and _differs_from_verse(pieces, n)]
    return max(found, default=noted)


def _num_noted(pieces: Sequence[_Piece], most: int) -> int:
    """Return how many of the first pieces are heading by the notation of one of them.

    A name that ends the same row belongs to it: [唐] 李白.
    """
    num = max((n for n in range(1, most + 1) if pieces[n - 1].is_notation), default=0)
    row = [piece for piece in pieces[num:] if num and piece.row == pieces[num - 1].row]
    is_name = len(row) == 1 and row[0].is_name and num < most
    return num + 1 if is_name else num


def _differs_from_verse(pieces: Sequence[_Piece], num: int) -> bool:
    """Return whether the first `num` pieces are unlike the rest, all of them without marks."""
    lengths = [len(_hanzi(piece.text)) for piece in pieces]
    above, below = lengths[:num], lengths[num:]
    is_even = len(set(below)) == 1 and len(below) % 2 == 0 and above[-1] != below[0]
    num_blocks, num_rows = len({p.block for p in pieces}), len({p.row for p in pieces})
    is_apart = pieces[num - 1].block != pieces[num].block and num_blocks < num_rows
    is_short = num == 2 and above[1] < min(below)
    return num <= 3 and (is_even or (len(below) > num and (is_apart or is_short)))


def _title_and_author(pieces: Sequence[_Piece]) -> tuple[str, str]:
    """Return the title and the author that a heading or a signature names, else "".

    The last of several words is the author if it can be a name, and so is a word after a dash.
    """
    titles: list[str] = []
    authors: list[str] = []
    words: list[str] = []
    for text in (piece.text for piece in pieces):
        if labeled := _LABELED.fullmatch(text):
            of_author, of_title, value = labeled.groups()
            (authors if of_author else titles if of_title else []).append(value)
        elif quoted := _quoted(text):
            before, title, after = quoted
            titles.append(title)
            words += _DASHES.split(before + after)
        elif dynasty := _OF_DYNASTY.fullmatch(text):
            authors.append(dynasty["after"] or dynasty["before"] or dynasty["named"] or "")
        elif authors == [""]:
            authors = [text]  # after a dynasty, or after 作者：
        else:
            words += _DASHES.split(text)
    words = [*titles, *words]
    # A dash leaves an empty word before it.
    if len(words) > 1 and not any(authors) and _Piece(words[-1]).is_name:
        authors = [words.pop()]
    title = " ".join(filter(None, map(_printable, words)))
    return title, "".join(map(_printable, authors))


def _quoted(text: str) -> tuple[str, str, str] | None:
    """Return the texts before, in and after the last 《…》 or 〈…〉; None if there is none.

    >>> _quoted("李白《静夜思》其一"), _quoted("《》")
    (('李白', '静夜思', '其一'), None)
    """
    end = max(text.rfind(mark) for mark in "》〉")
    start = max(text.rfind(mark, 0, max(end - 1, 0)) for mark in "《〈")
    return None if start < 0 else (text[:start], text[start + 1 : end], text[end + 1 :])


def _check_length(*texts: str) -> None:
    """Raise a UsageError for a text that is longer than that of a record may be."""
    num = max(map(len, texts))
    if num > MAX_TEXT:
        raise UsageError(
            tr("a poem or its title has {num:,} characters", num=num),
            tr(
                "Give at most {limit:,}; a blank line or a title begins a new poem.", limit=MAX_TEXT
            ),
        )


def _is_signature(row: Sequence[_Piece]) -> bool:
    first = row[0]
    return _are_plain(row) and (first.is_notation or bool(_DASHES.match(first.text)))


def _last_row(pieces: Sequence[_Piece]) -> list[_Piece]:
    num = len(list(takewhile(lambda piece: piece.row == pieces[-1].row, reversed(pieces))))
    return list(pieces[len(pieces) - num :])


def _has_form(pieces: Sequence[_Piece]) -> bool:
    """Return whether pieces have one of the four forms, perhaps below a heading."""
    return bool(pieces) and _form(pieces[_num_headings(pieces) :]) != OTHER


def _form(pieces: Sequence[_Piece]) -> str:
    return form_of(_lines(pieces)) if len(pieces) <= _MAX_LINES else OTHER


def _lines(pieces: Sequence[_Piece]) -> list[str]:
    """Return the lines of verse in some pieces: their Han characters, without marks."""
    parts = (part for piece in pieces for part in _LINE_END.split(piece.text))
    return [line for part in parts if (line := _hanzi(part))]


def _are_plain(pieces: Sequence[_Piece]) -> bool:
    return all(piece.is_plain for piece in pieces)


def _hanzi(text: str) -> str:
    return "".join(filter(is_hanzi, text))


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))
