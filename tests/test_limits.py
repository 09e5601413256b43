"""Inputs of any length and any content: bounded time, bounded messages, nothing but our own errors."""

import io
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.batch.journal import open_journal
from poetgen.batch.prompts import MAX_LINE_BYTES, open_prompts, parse_prompt_line
from poetgen.cli.scan import _read_poems
from poetgen.config import MAX_CONFIG_BYTES, MAX_FAULTS, build_config, load_config
from poetgen.data.clean import clean, clean_text
from poetgen.data.paste import read_poems
from poetgen.data.read import MAX_TEXT, BrokenRecord, read, read_lines
from poetgen.errors import MAX_LINE, MAX_LINES, ConfigError, PoetgenError, UsageError, shorten
from poetgen.files import (
    MAX_JSON_DEPTH,
    atomic_writer,
    check_writable,
    file_digest,
    open_input,
    parse_json,
    read_input,
    write_text,
)
from poetgen.runs import Run, find_metrics, find_model
from poetgen.sampling.options import MAX_PROMPT, Options, declared_options
from poetgen.training.history import read_history
from poetgen.views.figure import save_figure

VERSE = "山风吹竹径，溪月照柴门。霜叶随溪下，寒鸦绕树啼。"


def refusal(call: Callable[[], object]) -> PoetgenError:
    """Return the error of a call; check that it is bounded and says what to do."""
    with pytest.raises(PoetgenError) as caught:
        call()
    error = caught.value
    assert error.why
    assert error.fix
    assert len(str(error)) <= 2 * MAX_LINE
    return error


@contextmanager
def seconds_of_cpu(limit: float) -> Iterator[None]:
    """Fail if the block takes longer: a hundred times what linear time takes."""
    start = time.process_time()
    yield
    assert time.process_time() - start < limit


# Length


@pytest.mark.parametrize(
    ("text", "clean_verse"),
    [
        ("（" * 1_000_000, ""),
        ("（" * 500_000 + "）" * 500_000 + VERSE, VERSE),
        ("(〖" * 250_000 + ")〗" * 250_000 + VERSE, VERSE),
        ("[" * 1_000_000 + VERSE, VERSE),
        ("（" + "a" * 1_000_000, ""),
    ],
    ids=["open", "nested", "crossed", "restored", "long"],
)
def test_clean_text_takes_linear_time(text: str, clean_verse: str) -> None:
    with seconds_of_cpu(60):
        assert clean_text(text)[0] == clean_verse


@pytest.mark.parametrize(
    ("text", "verse"),
    [
        ("甲（乙（丙）丁（戊））己", "甲己"),
        ("甲）乙（丙", "甲）乙"),
        ("甲（乙〖丙）丁〗戊", "甲丁〗戊"),
        ("甲〖乙（丙〗丁）戊", "甲丁）戊"),
        ("甲（乙〖丙（丁）戊）己〗庚", "甲己〗庚"),
        ("甲（乙（丙）丁", "甲"),
        ("甲〗乙〖丙〗丁", "甲〗乙丁"),
    ],
)
def test_notes_end_at_the_bracket_of_their_pair(text: str, verse: str) -> None:
    kept = "".join(c for c in verse if c not in "）〗")
    assert clean_text(text)[0] == kept + "。"


@pytest.mark.parametrize(
    "text",
    [
        "山" * 200_000,
        "山\n" * 100_000,
        "山\n\n" * 60_000,
        "《山" * 100_000 + "\n" + VERSE,
        "山》" * 100_000 + "\n" + VERSE,
        "—" * 200_000 + " 李白",
        "静夜思：" * 50_000,
    ],
    ids=["word", "rows", "stanzas", "opening quotes", "closing quotes", "dashes", "colons"],
)
def test_read_poems_takes_linear_time(text: str) -> None:
    with seconds_of_cpu(60):
        answers(lambda: read_poems(text))


def test_long_poem_is_refused_when_pasted() -> None:
    error = refusal(lambda: read_poems("山" * (MAX_TEXT + 1)))
    assert error.why == "a poem or its title has 10,001 characters"
    assert len(read_poems("山" * MAX_TEXT)) == 1


@pytest.mark.parametrize("key", ["text", "title", "author"])
def test_long_record_is_broken(key: str) -> None:
    for num, is_broken in ((MAX_TEXT, False), (MAX_TEXT + 1, True), (1_000_000, True)):
        record = {"text": VERSE, key: "山" * num}
        (found,) = read_lines(json.dumps(record).encode(), "a.jsonl")
        assert isinstance(found, BrokenRecord) == is_broken
    poems, report = clean([found])
    assert (poems, report.dropped["broken_record"]) == ([], 1)
    assert report.broken == ["a.jsonl: line 1: 1,000,000 characters, more than 10,000"]


def test_long_line_of_text_is_broken() -> None:
    long, verse = read_lines(f"{'山' * 1_000_000}\n{VERSE}".encode(), "a.txt")
    assert isinstance(long, BrokenRecord)
    assert not isinstance(verse, BrokenRecord)


def test_long_prompt_is_refused() -> None:
    assert Options("床" * MAX_PROMPT).prompt
    error = refusal(lambda: Options("床" * (MAX_PROMPT + 1)))
    assert (error.why, error.fix) == ("prompt has 2,001 characters", "Give at most 2,000.")


@pytest.mark.parametrize("name", [n for n, o in declared_options().items() if o.value_type is str])
def test_long_option_is_refused(name: str) -> None:
    values: dict[str, Any] = {name: "山" * 1_000_000}
    assert "1,000,000 characters" in refusal(lambda: Options(**values)).why


def test_long_prompt_line_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"x" * 16_000_000 + "\n床前\n".encode() + b"y" * MAX_LINE_BYTES)
    with seconds_of_cpu(60), open_prompts(path) as lines:
        long, short, last = lines
    assert len(long) == MAX_LINE_BYTES + 1
    assert refusal(lambda: parse_prompt_line(long, Options())).why == (
        "the line has more than 65,536 bytes"
    )
    options = parse_prompt_line(short, Options())
    assert options is not None
    assert options.prompt == "床前"
    assert "65,536 characters" in refusal(lambda: parse_prompt_line(last, Options())).why


class Endless(io.RawIOBase):
    """A stream of zeros."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_prompts_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless())))

    def consume() -> None:
        with open_prompts(Path("-")) as lines:
            assert sum(1 for _ in lines) < 10

    assert "has no end" in refusal(consume).why


def test_scan_of_endless_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    monkeypatch.setattr("poetgen.files.read_stream.__defaults__", (2**24,))
    assert "more than 16,777,216 bytes" in refusal(lambda: _read_poems("-")).why


def test_read_input_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    assert read_input(path, 1000) == bytes(1000)
    with pytest.raises(OSError, match="more than 999 bytes"):
        read_input(path, 999)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_parse_json_limits_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> str:
        return opening * depth + "0" + closing * depth

    assert parse_json(nested(MAX_JSON_DEPTH))
    for depth in (MAX_JSON_DEPTH + 1, 500, 100_000):
        with pytest.raises(ValueError, match="nested deeper than 32 levels"):
            parse_json(nested(depth))


# Configurations

ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ALIAS_BOMB, "more than 5,000 keys and values"),
        ("a: &a [*a]\n", "an alias names a value that contains it"),
        ("a: " + "[" * 11 + "]" * 11, "nested deeper than 10 levels"),
        ("a: " + "[" * 50_000, "nested deeper than 10 levels"),
        ("x: " + "[1," * 5 + "1," * 20_000, "more than 5,000 keys and values"),
        ("#" * (MAX_CONFIG_BYTES + 1), "it has more than 131,072 bytes"),
        ("a: !!int 0x" + "f" * 5000, "tags such as tag:yaml.org,2002:int are not supported"),
        ("a: !!timestamp x", "are not supported"),
        ("? [a]\n: 1\n? [a]\n: 2\n", "unhashable"),
    ],
    ids=["bomb", "loop", "depth", "deep", "wide", "size", "tag", "timestamp", "key"],
)
def test_config_limits_yaml(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with seconds_of_cpu(60):
        error = refusal(lambda: load_config(str(path)))
    assert why in error.why
    assert "\n" not in error.why
    if len(text) < MAX_CONFIG_BYTES:
        refusal(lambda: load_config("base", [f"train.epochs={text}"]))


def test_config_alias_is_a_value(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {input_dropout: &rate 0.5, layer_dropout: *rate}\n", encoding="utf-8")
    assert load_config(str(path)).model.layer_dropout == 0.5


def test_config_lists_few_of_many_faults() -> None:
    values = {"train": {f"key_{i}": "x" * 10_000 for i in range(30_000)}}
    with seconds_of_cpu(60), pytest.raises(ConfigError) as caught:
        build_config(values)
    lines = caught.value.why.splitlines()
    assert len(lines) == 1 + MAX_FAULTS + 1
    assert lines[-1] == "  and 29,980 more faults"


def test_config_shortens_values() -> None:
    values = {"train": {"epochs": "x" * 1_000_000, "y" * 1_000_000: 1}}
    assert "xxx…xxx" in refusal(lambda: build_config(values)).why


# Messages


def test_error_is_bounded() -> None:
    error = PoetgenError("x" * 1_000_000, "y\n" * 1_000_000)
    assert len(error.why) == MAX_LINE
    assert error.fix.count("\n") == MAX_LINES - 1
    assert error.fix.endswith("…")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_shorten_keeps_both_ends(limit: int) -> None:
    short = shorten("abcdef", limit)
    assert len(short) == limit
    assert shorten("abcdef", 6) == "abcdef"
    assert "abcdef".startswith(short.split("…")[0])
    assert "abcdef".endswith(short.split("…")[1])


# Special files


@pytest.fixture(params=["device", "named pipe", "socket", "loop", "NUL"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A path that must not be read as a file: a link to a device, a pipe, a socket, a loop, no name."""
    path = tmp_path / "special.yaml"
    if request.param == "NUL":
        yield tmp_path / "a\0b.yaml"
        return
    if os.name != "posix":
        pytest.skip("no special files there")
    if request.param == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            folder = os.open(tmp_path, os.O_RDONLY)
            try:  # the path of a socket has at most 107 bytes
                bound.bind(f"/proc/self/fd/{folder}/{path.name}")
            except OSError:
                pytest.skip("no sockets there")
            finally:
                os.close(folder)
            yield path
        return
    if request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "named pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    yield path


def read_prompts(path: Path) -> None:
    with open_prompts(path) as lines:
        list(lines)


def write_stream(path: Path) -> None:
    with atomic_writer(path) as stream:
        stream.write("text")


READERS: dict[str, Callable[[Path], object]] = {
    "corpus": lambda path: list(read(path)),
    "prompts": read_prompts,
    "config": lambda path: load_config(str(path)),
    "scan": lambda path: _read_poems(str(path)),
    "digest": file_digest,
    "history": read_history,
    "metrics": lambda path: find_metrics(str(path)),
    "model": lambda path: find_model(str(path)),
}
WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: write_text(path, "text"),
    "figure": lambda path: save_figure("<svg/>", path.with_suffix(path.suffix)),
    "check": check_writable,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_readers_refuse_special_files(special: Path, reader: Callable[[Path], object]) -> None:
    assert special.name.split("\0")[0] in refusal(lambda: reader(special)).why


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_writers_keep_special_files(special: Path, writer: Callable[[Path], object]) -> None:
    before = sorted(path.name for path in special.parent.iterdir())
    assert special.name in refusal(lambda: writer(special)).why
    assert sorted(path.name for path in special.parent.iterdir()) == before
    if before:
        assert special.is_symlink() or special.is_fifo() or special.is_socket()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_writers_keep_an_open_stream() -> None:
    path = Path("/dev/stdout")
    assert "open stream" in refusal(lambda: write_text(path, "text")).why


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_stream_and_journal_refuse_what_cannot_be_written(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refusal(lambda: write_stream(loop))
    refusal(lambda: write_stream(tmp_path / "a\0b"))
    os.mkfifo(tmp_path / "poems.jsonl.job")

    def journal() -> None:
        with open_journal(tmp_path / "poems.jsonl", {}, [], seed=1):
            pass

    assert "not a regular file" in refusal(journal).why


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="there is no /dev/fd")
def test_open_input_reads_a_pipe_of_the_shell() -> None:
    def poem_of(reader: Callable[[str], Any]) -> Any:
        reading, writing = os.pipe()
        os.write(writing, VERSE.encode())
        os.close(writing)
        try:
            return reader(f"/dev/fd/{reading}")
        finally:
            os.close(reading)

    def lines_of(name: str) -> list[bytes]:
        with open_prompts(Path(name)) as lines:
            return list(lines)

    assert poem_of(lambda name: read_input(Path(name))) == VERSE.encode()
    assert poem_of(lines_of) == [VERSE.encode()]
    (poem,) = poem_of(_read_poems)
    (record,) = poem_of(lambda name: list(read(Path(name))))
    assert poem.text == record.text == VERSE


def test_open_input_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=tmp_path.name):
        open_input(tmp_path)


# Any content


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    containers,
    max_leaves=6,
)
VERSES = st.text(st.sampled_from([*"山风吹月李白唐，。：《》[]（）—\n \u3000#1{"]), max_size=60)
ANY = settings(max_examples=100, deadline=None)


def answers(call: Callable[[], object]) -> None:
    """Check that a call returns, or raises an error that is shown to users."""
    with suppress(PoetgenError):
        call()


OPTION_VALUES = st.one_of(JSON_VALUES, st.sampled_from(["五绝", "wujue", "东", "start", 0.5, 1, 5]))


@ANY
@given(
    st.one_of(
        st.binary(max_size=40),
        st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
        JSON_VALUES.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from([*declared_options()]), OPTION_VALUES, max_size=4).map(
            lambda values: json.dumps(values).encode()
        ),
    )
)
def test_parse_prompt_line_returns_or_refuses(line: bytes) -> None:
    answers(lambda: parse_prompt_line(line, Options()))


RECORDS = st.dictionaries(
    st.sampled_from(["text", "poem", "paragraphs", "title", "author"]),
    st.one_of(JSON_VALUES, VERSES, st.lists(VERSES, max_size=3)),
    max_size=4,
)


@ANY
@given(
    suffix=st.sampled_from([".json", ".jsonl", ".txt"]),
    content=st.one_of(
        st.binary(max_size=60),
        VERSES.map(str.encode),
        JSON_VALUES.map(lambda value: json.dumps(value).encode()),
        st.lists(RECORDS, max_size=3).map(lambda records: json.dumps(records).encode()),
        st.lists(RECORDS, max_size=3).map(lambda rs: "\n".join(map(json.dumps, rs)).encode()),
    ),
)
def test_read_returns_or_refuses(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    answers(lambda: clean(read(path)))


@ANY
@given(st.one_of(st.text(max_size=60), VERSES))
def test_read_poems_returns_or_refuses(text: str) -> None:
    answers(lambda: read_poems(text))


SECTIONS = st.dictionaries(
    st.sampled_from(["data", "model", "train", "conditions", "x"]),
    st.dictionaries(
        st.sampled_from(["corpus", "cell", "epochs", "betas"]), JSON_VALUES, max_size=3
    ),
    max_size=3,
)
YAML = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from([*"ab:&*[]{}!|>?-,'\"#% \n\t0.x"]), max_size=30),
    st.one_of(JSON_VALUES, SECTIONS).map(json.dumps),
)


@ANY
@given(YAML)
def test_load_config_returns_or_refuses(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-content.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    answers(lambda: load_config(str(path)))


@ANY
@given(st.one_of(st.text(max_size=20), YAML.map("train.epochs={}".format)))
def test_override_returns_or_refuses(override: str) -> None:
    answers(lambda: build_config({}, [override]))


NAMES = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from([*"a./\\~\0\n -春\ud800"]), max_size=12),
    st.integers(190, 5000).map("x".__mul__),
)
USERS_OF_NAMES = (
    Run.reserve,
    partial(Run.reserve, overwrite=True),
    Run.open,
    find_model,
    find_metrics,
)


@pytest.mark.parametrize("use", USERS_OF_NAMES)
@pytest.mark.parametrize("name", ["x" * 201, "x" * 300, "春" * 300, "x" * 1_000_000])
def test_long_run_name_is_refused(use: Callable[[str], object], name: str) -> None:
    refusal(lambda: use(name))


@ANY
@given(name=NAMES)
@pytest.mark.parametrize("use", USERS_OF_NAMES)
def test_run_name_returns_or_refuses(use: Callable[[str], object], name: str) -> None:
    answers(lambda: use(name))


def test_unreadable_newest_run_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()
    Path("checkpoints/latest").write_text("x" * 20_000, encoding="utf-8")
    assert "more than 16,384 bytes" in refusal(find_model).why
    assert isinstance(refusal(Run.open), PoetgenError)


def test_usage_errors_quote_little() -> None:
    values: dict[str, Any] = {"k" * 100_000: 1}
    assert len(refusal(lambda: Options().updated(values)).why) < 200
    wrong: dict[str, Any] = {"prompt": ["山" * 100_000]}
    with pytest.raises(UsageError) as caught:
        Options().updated(wrong)
    assert len(caught.value.why) < 200
