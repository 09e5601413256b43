"""Count how poets used characters of two tones: python scripts/release/readings.py --corpus PATH.

Writes poetgen/resources/tone-counts.json, by which `poetgen.prosody.phonology` leaves out readings that
poets hardly used.  With --check, writes nothing and exits with 1 if the file differs.  Takes half a
minute.

1. Take the poems of the training split in one of the four forms.
2. Find the orders of line types that a poem can have, by its characters of a single tone; a character of
   two tones fits anywhere.  Drop poems without such an order, and those whose rhyme words all have two
   tones.
3. Count each character of two tones at the positions 2, 4, 6 and the last, where all these orders demand
   the same tone.  No reading of a character of two tones affects what is demanded.  Leave out positions
   that a permitted variant changes: the second-last of a line that may be 平平仄平仄, and of one that the
   next line may rescue (拗救).
4. Keep the characters with enough occurrences.
"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from poetgen.data.corpus import Corpus, corpus_paths, load_corpus
from poetgen.files import write_text
from poetgen.prosody.forms import FORMS, LEVEL, LINE_TYPES, extended, form_of
from poetgen.prosody.grammar import EITHER, OBLIQUE, may_begin, tone_of
from poetgen.prosody.phonology import MIN_OCCURRENCES, TONE_COUNTS_FILE, ToneCounts, readings


def main() -> None:
    """Count and write, or compare."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--check", action="store_true", help="only compare with the file")
    arguments = parser.parse_args()
    text = to_json(load_corpus(corpus_paths(arguments.corpus)))
    if arguments.check:
        if text != TONE_COUNTS_FILE.read_text(encoding="utf-8"):
            sys.exit(f"{TONE_COUNTS_FILE} is out of date: run scripts/release/readings.py")
        print(f"{TONE_COUNTS_FILE} is up to date")
    else:
        write_text(TONE_COUNTS_FILE, text)
        print(f"{TONE_COUNTS_FILE}: {len(json.loads(text)['characters'])} characters")


def to_json(corpus: Corpus) -> str:
    """Return the content of the file: the source, then a character per line."""
    counts = count(poem.lines for poem in corpus.splits["train"])
    rows = [
        f"  {json.dumps(character, ensure_ascii=False)}: [{one.level}, {one.oblique}]"
        for character, one in sorted(counts.items())
        if sum(one) >= MIN_OCCURRENCES
    ]
    return (
        "{\n"
        ' "made_by": "scripts/release/readings.py",\n'
        f' "corpus_fingerprint": "{corpus.fingerprint}",\n'
        ' "columns": ["level", "oblique"],\n'
        ' "characters": {\n' + ",\n".join(rows) + "\n }\n}\n"
    )


def count(poems: Iterable[Sequence[str]]) -> dict[str, ToneCounts]:
    """Return how often each character of two tones occurs where the lines demand either tone."""
    counts = Counter(occurrence for lines in poems for occurrence in occurrences(lines))
    return {
        character: ToneCounts(counts[character, LEVEL], counts[character, OBLIQUE])
        for character in {character for character, _ in counts}
    }


def occurrences(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the characters of two tones of a poem, each with the tone that the others demand: 平 or 仄."""
    form = FORMS.get(form_of(lines))
    tones = ["".join(tone_of(c, any_reading=True) for c in line) for line in lines]
    if form is None or not any(line[-1] == LEVEL for line in tones[1::2]):
        return
    orders = [
        order
        for order in form.orders
        if all(may_begin(*line) for line in zip(tones, order, tones, strict=True))
    ]
    for index, line in enumerate(tones):
        types = {order[index] for order in orders}
        for position in fixed_positions(types, line, tones[index + 1 : index + 2]):
            demanded = {extended(LINE_TYPES[one], len(line))[position] for one in types}
            character = lines[index][position]
            if (
                len(demanded) == 1
                and line[position] == EITHER
                and readings(character, any_reading=True)
            ):
                yield character, demanded.pop()


def fixed_positions(types: set[str], line: str, following: Sequence[str]) -> Iterator[int]:
    """Yield the positions (from 0) at which every variant of a line of these types has the same tone.

    `line` and the line `following` it are tones.
    """
    third_last, second_last = len(line) - 3, len(line) - 2
    yield from range(1, second_last, 2)
    is_licensed = "b" in types and line[third_last] != LEVEL
    is_rescued = "a" in types and following[0][third_last] != OBLIQUE
    if not is_licensed and not is_rescued:
        yield second_last
    yield len(line) - 1


if __name__ == "__main__":
    main()
