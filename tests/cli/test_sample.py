"""`poetgen sample`."""

import json
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from poetgen.api import PoetModel
from poetgen.cli.main import app
from poetgen.data.normalise import to_traditional
from poetgen.model.store import StoredModel
from tests.refusal import is_refused

runner = CliRunner()
KEYS = [
    "index",
    "prompt",
    "poem",
    "lines",
    "form",
    "seed",
    "temperature",
    "nats_per_token",
    "constraints",
    "warnings",
    "model",
]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_model(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POETGEN_CHECKPOINT", model_file.name)


def sample(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return runner.invoke(app, ["sample", *arguments], input=stdin)


def succeeds(result: Result) -> str:
    """What it wrote to stdout."""
    assert result.exit_code == 0, result.stderr
    assert result.stdout
    return result.stdout


def test_a_poem_is_all_that_stdout_holds(tiny_model: StoredModel) -> None:
    result = sample("山月", "--seed", "1")
    (poem,) = PoetModel(tiny_model).sample("山月", seed=1)
    assert succeeds(result) == poem.laid_out() + "\n"


def test_the_model_and_the_seed_are_told_on_stderr() -> None:
    result = sample("山月", "--seed", "12")
    first = result.stderr.splitlines()[0]
    assert first == "model tiny.safetensors (from $POETGEN_CHECKPOINT), seed 12"


def test_poems_that_were_cut_off_are_counted_on_stderr() -> None:
    result = sample("山月", "--seed", "12", "--num", "2")  # an untrained model hardly ever ends
    assert result.stderr.splitlines()[1:] == ["2 of these poems were cut off without an end"]


def test_a_seed_by_chance_is_told_and_can_be_used_again() -> None:
    first = sample("山月", "--temperature", "2")
    seed = first.stderr.splitlines()[0].split()[-1]
    assert sample("山月", "--temperature", "2", "--seed", seed).stdout == succeeds(first)


def test_without_a_prompt_the_model_begins() -> None:
    record = json.loads(succeeds(sample("--seed", "1", "--format", "jsonl")))
    assert record["prompt"] == ""
    assert record["poem"]


def test_the_same_seed_writes_the_same_poems_at_any_batch_size() -> None:
    three = succeeds(sample("山", "--seed", "4", "--num", "3"))
    assert three.count("\n\n") == 2
    assert sample("山", "--seed", "4", "--num", "3", "--batch-size", "1").stdout == three
    assert three.startswith(succeeds(sample("山", "--seed", "4", "--num", "2")))
    assert sample("山", "--seed", "5", "--num", "3").stdout != three


def test_json_lines_have_exactly_the_keys_of_the_contract() -> None:
    out = succeeds(
        sample("雲山", "--num", "2", "--seed", "3", "--temperature", "0.5", "--format", "jsonl")
    )
    records = [json.loads(line) for line in out.splitlines()]
    assert [list(record) for record in records] == [KEYS, KEYS]
    assert [record["index"] for record in records] == [0, 1]
    first = records[0]
    given = (first["prompt"], first["seed"], first["temperature"], first["model"])
    assert given == ("云山", 3, 0.5, "tiny.safetensors")
    assert first["poem"].startswith("云山")
    assert first["lines"] == [line for line in re.split("[，。？！]", first["poem"]) if line]
    assert first["nats_per_token"] > 0
    assert first["constraints"] == {}


def test_traditional_characters_are_the_same_poem() -> None:
    simplified = succeeds(sample("云归", "--seed", "1", "--num", "2"))
    traditional = succeeds(sample("云归", "--seed", "1", "--num", "2", "--script", "traditional"))
    assert traditional.startswith("雲歸")
    assert traditional == to_traditional(simplified)


def test_a_stream_prints_the_same_poem() -> None:
    assert succeeds(sample("山月", "--seed", "1", "--stream")) == succeeds(
        sample("山月", "--seed", "1", "--no-stream")
    )


def test_filters_reach_the_poems() -> None:
    greedy = succeeds(sample("山", "--temperature", "0", "--seed", "1"))
    for narrow in (["--top-k", "1"], ["--top-p", "1e-9"], ["--min-p", "1"]):
        assert succeeds(sample("山", "--temperature", "1", "--seed", "9", *narrow)) == greedy
    assert succeeds(sample("山", "--temperature", "1", "--seed", "9")) != greedy


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ("牀前", "床前"),
        ("山月照，", "山月照，"),
        ("山月照,", "山月照，"),
        (" 山 月 ", "山月"),
        ("山月。" * 100, "山月。" * 100),
    ],
    ids=["traditional", "mark", "half-width", "spaces", "long"],
)
def test_a_prompt_in_another_spelling_is_understood(prompt: str, kept: str) -> None:
    result = sample(prompt, "--seed", "1")
    assert succeeds(result).replace("\n", "").startswith(kept)
    assert "not in the model's vocabulary" not in result.stderr


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("山😀", "😀 (U+1F600 GRINNING FACE)"),
        ("山龘", "(U+"),
        ("moon山", "m (U+006D LATIN SMALL LETTER M)"),
        ("山\udce5", "\ufffd (U+FFFD REPLACEMENT CHARACTER)"),
    ],
    ids=["emoji", "unseen", "latin", "surrogate"],
)
def test_an_unknown_character_is_kept_and_warned_about_by_name(prompt: str, named: str) -> None:
    result = sample(prompt, "--seed", "1")
    kept = prompt.replace("\udce5", "\ufffd") if "龘" not in prompt else "山"
    assert succeeds(result).startswith(kept)
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert named in warning


@pytest.mark.parametrize(
    "prompt", ["", "  ", "，", "。！", "?", "😀", "Hello", "\udce5", "42"], ids=ascii
)
def test_a_prompt_with_nothing_known_in_it_exits_2(prompt: str) -> None:
    assert is_refused(sample(prompt), 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--temperature", "inf"], "temperature is inf"),
        (["--top-k", "-1"], "top-k is -1"),
        (["--top-p", "0"], "top-p is 0.0"),
        (["--top-p", "nan"], "top-p is nan"),
        (["--min-p", "2"], "min-p is 2.0"),
    ],
)
def test_a_setting_out_of_range_exits_2(options: list[str], why: str) -> None:
    result = sample("山", *options)
    assert is_refused(result, 2)
    assert f"poetgen: {why}\n" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--temperature", "warm"],
        ["--top-k", "2.5"],
        ["--num", "0"],
        ["--num", "many"],
        ["--batch-size", "0"],
        ["--seed", "x"],
        ["--format", "xml"],
        ["--script", "cursive"],
    ],
    ids=" ".join,
)
def test_a_value_of_the_wrong_kind_exits_2_naming_the_option(options: list[str]) -> None:
    result = sample("山", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert options[0] in result.stderr
    assert "Traceback" not in result.stderr


def test_a_top_k_beyond_any_vocabulary_limits_nothing() -> None:
    result = sample("山", "--seed", "1", "--top-k", str(10**20))
    assert result.stdout == succeeds(sample("山", "--seed", "1"))


def test_a_temperature_next_to_0_is_greedy() -> None:
    result = sample("山", "--seed", "1", "--temperature", "1e-320")
    assert result.stdout == succeeds(sample("山", "--seed", "1", "--temperature", "0"))


@pytest.mark.parametrize(
    "options",
    [
        ["山", "--stream", "--num", "2"],
        ["山", "--stream", "--format", "jsonl"],
        ["山", "--stream", "--output", "x"],
        ["--stream", "--prompts", "prompts.txt"],
        ["山", "--prompts", "prompts.txt"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_exit_2(options: list[str]) -> None:
    Path("prompts.txt").write_text("山\n", encoding="utf-8")
    assert is_refused(sample(*options), 2)
    assert not Path("x").exists()


def damaged_checkpoints(model_file: Path) -> Iterator[tuple[str, str]]:
    """(name, what the message says) of files that are no model."""
    whole = model_file.read_bytes()
    Path("truncated").write_bytes(whole[: len(whole) // 2])
    Path("header").write_bytes(whole[:100])
    Path("random").write_bytes(torch.randint(0, 256, (4096,), dtype=torch.uint8).numpy().tobytes())
    Path("empty").touch()
    Path("folder").mkdir()
    Path("old.pkl").write_bytes(pickle.dumps({"weights": [1.0]}))
    torch.save({"weights": torch.zeros(2)}, "last.pt")
    with safe_open(model_file, framework="pt") as file:
        header = json.loads(file.metadata()["poetgen"]) | {"format_version": 99}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, "newer", metadata={"poetgen": json.dumps(header)})
    save_file(tensors, "foreign")
    yield from [
        ("absent", "there is no model absent"),
        ("truncated", "truncated is damaged"),
        ("header", "header is damaged"),
        ("random", "random is damaged"),
        ("empty", "empty is damaged"),
        ("folder", "folder has no best.safetensors"),
        ("old.pkl", "old.pkl is a pickle"),
        ("last.pt", "last.pt is a pickle"),
        ("newer", "newer has format version 99"),
        ("foreign", "foreign is a safetensors file, but not one of poetgen's"),
    ]


def test_a_checkpoint_that_is_no_model_exits_1_saying_what_it_is(model_file: Path) -> None:
    torch.manual_seed(0)
    for name, why in damaged_checkpoints(model_file):
        result = sample("山", "--checkpoint", name)
        assert is_refused(result, 1), name
        assert why in result.stderr


def test_without_any_model_it_exits_1_and_tells_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("POETGEN_CHECKPOINT")
    result = sample("山")
    assert is_refused(result, 1)
    assert "poetgen train" in result.stderr


def test_the_newest_run_is_the_default(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POETGEN_CHECKPOINT")
    run = Path("checkpoints") / "short"
    run.mkdir(parents=True)
    model_file.rename(run / "best.safetensors")
    (run.parent / "latest").write_text("short\n")
    result = sample("山", "--seed", "1")
    succeeds(result)
    assert result.stderr.startswith("model checkpoints/short/best.safetensors (the newest run)")


def test_an_output_file_holds_the_poems_and_stdout_nothing() -> None:
    printed = succeeds(sample("山", "--num", "2", "--seed", "1"))
    result = sample("山", "--num", "2", "--seed", "1", "--output", "new/poems.txt")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("new/poems.txt").read_text(encoding="utf-8") == printed
    assert [file.name for file in Path("new").iterdir()] == ["poems.txt"]


def test_an_output_that_cannot_be_written_exits_1_and_harms_nothing() -> None:
    Path("file").write_text("old")
    Path("folder").mkdir()
    Path("folder/inside").write_text("old")
    for place in ("file/poems.txt", "folder"):
        result = sample("山", "--output", place)
        assert is_refused(result, 1)
        assert place in result.stderr
    assert Path("file").read_text() == Path("folder/inside").read_text() == "old"


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_of_prompts_becomes_json_lines() -> None:
    Path("prompts.txt").write_text('\ufeff山月\n\n{"prompt": "雲", "seed": 9}\n', encoding="utf-8")
    out = succeeds(sample("--prompts", "prompts.txt", "--num", "2", "--seed", "1"))
    found = [(r["index"], r["prompt"], r["seed"]) for r in records(out)]
    assert found == [(0, "山月", 1), (1, "山月", 1), (4, "云", 9), (5, "云", 9)]


def test_prompts_may_become_text() -> None:
    out = succeeds(sample("--prompts", "-", "--format", "text", "--seed", "1", stdin="山月\n云\n"))
    first, second = out.split("\n\n")
    assert first.startswith("山月")
    assert second.startswith("云")


def test_the_first_line_of_a_job_is_the_poem_of_a_single_call() -> None:
    (record,) = records(succeeds(sample("--prompts", "-", "--seed", "3", stdin="山月\n")))
    poem = succeeds(sample("山月", "--seed", "3")).replace("\n", "")
    assert record["poem"] == poem


def test_a_job_with_bad_lines_does_the_others_and_exits_1() -> None:
    bad = '山\n{"prompt": 5}\nhello\n云\n'
    result = sample("--prompts", "-", "--seed", "1", stdin=bad)
    assert result.exit_code == 1
    assert [r["index"] for r in records(result.stdout)] == [0, 3]
    assert "line 2: prompt is 5, not a string\n" in result.stderr
    assert "line 3: the model knows no character of the prompt hello\n" in result.stderr
    why, fix = result.stderr.splitlines()[-2:]
    assert why.startswith("poetgen: 2 lines could not be used")
    assert fix.startswith("  → ")
    mended = sample("--prompts", "-", "--seed", "1", stdin=bad.replace("hello", "月"))
    assert [r for r in records(mended.stdout) if r["index"] != 2] == records(result.stdout)


def test_the_poems_of_a_job_with_bad_lines_are_in_its_output_file() -> None:
    result = sample("--prompts", "-", "--output", "poems.jsonl", stdin="山\n{\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [r["index"] for r in records(Path("poems.jsonl").read_text(encoding="utf-8"))] == [0]


def test_unknown_characters_of_a_job_are_warned_about_in_its_records() -> None:
    (record,) = records(succeeds(sample("--prompts", "-", "--seed", "1", stdin="山😀\n")))
    assert "😀 (U+1F600 GRINNING FACE)" in str(record["warnings"])


def test_prompts_that_are_not_utf8_exit_1_and_leave_the_old_output() -> None:
    Path("poems.jsonl").write_text("old")
    Path("prompts.txt").write_bytes("云".encode("gb18030") + b"\n")
    result = sample("--prompts", "prompts.txt", "--output", "poems.jsonl")
    assert is_refused(result, 1)
    assert "line 1: not UTF-8" in result.stderr
    assert Path("poems.jsonl").read_text() == "old"


def test_prompts_that_are_not_there_exit_1() -> None:
    result = sample("--prompts", "absent.txt", "--output", "poems.jsonl")
    assert is_refused(result, 1)
    assert "absent.txt cannot be read" in result.stderr
    assert not list(Path().glob("poems.jsonl*"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children take Ctrl-C even where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def endless(*arguments: str) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "poetgen", "sample", "山", "--num", "1000000", *arguments]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_closed_pipe_exits_0_without_a_word() -> None:
    with endless() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().decode().startswith("山")
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert len(process.stderr.read().splitlines()) == 1  # the model and the seed


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_with_the_shells_code(number: int, code: int) -> None:
    with endless() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == code
        assert b"Traceback" not in stderr


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_the_old_output_and_keeps_what_was_written() -> None:
    Path("poems.txt").write_text("old")
    part = Path("poems.txt.part")
    with endless("--output", "poems.txt") as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr.decode()
    assert Path("poems.txt").read_text() == "old"
    assert part.read_text(encoding="utf-8").startswith("山")
