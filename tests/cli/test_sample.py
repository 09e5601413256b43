"""`poetgen sample`."""

import json
import os
import pickle
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from poetgen.api import Poet
from poetgen.cli.main import make_app
from poetgen.data.normalize import to_traditional
from poetgen.errors import ConstraintError
from poetgen.files import file_digest
from poetgen.model.file import ModelBundle
from poetgen.prosody.scan import scan
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.hypothesis import Event, GivenUp, Restart, SampledToken
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request
from tests.refusal import is_refused

app = make_app()

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
    "model_hash",
]


pytestmark = pytest.mark.usefixtures("folder_with_a_model")


def sample(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return runner.invoke(app, ["sample", *arguments], input=stdin)


def succeeds(result: Result) -> str:
    """The standard output of a successful call."""
    assert result.exit_code == 0, result.stderr
    assert result.stdout
    return result.stdout


def test_sample_prints_only_the_poem_to_stdout(tiny_model: ModelBundle) -> None:
    result = sample("山月", "--seed", "1")
    (poem,) = Poet(Generator(tiny_model)).sample("山月", seed=1)
    assert succeeds(result) == poem.formatted() + "\n"


def test_sample_reports_model_and_seed() -> None:
    first = sample("山月", "--seed", "12").stderr.splitlines()[0]
    assert first == ("model tiny (from $POETGEN_CHECKPOINT; choose another with --model), seed 12")
    first = sample("山月", "--seed", "12", "-m", "tiny.safetensors").stderr.splitlines()[0]
    assert first == "model tiny (given), seed 12"


def test_sample_counts_poems_that_were_cut_off() -> None:
    result = sample("山月", "--seed", "12", "--num", "2")  # an untrained model hardly ever ends
    assert result.stderr.splitlines()[1:] == ["2 of these poems were cut off without an end"]
    result = sample("山月", "--seed", "12", "--output", "poem.txt")
    assert result.stderr.splitlines()[1:] == ["1 of these poems was cut off without an end"]
    for arguments in ((), ("--stream",), ("--no-stream",), ("--explain",), ("--best-of", "2")):
        result = sample("山月", "--seed", "12", *arguments)
        assert result.stderr.splitlines()[1:] == ["this poem was cut off without an end"]
    result = sample("山月", "--seed", "12", "--format", "jsonl")  # a record says it itself
    assert result.stderr.splitlines()[1:] == []


def test_sample_reports_a_random_seed_for_reuse() -> None:
    first = sample("山月", "--temperature", "2")
    seed = first.stderr.splitlines()[0].split()[-1]
    assert sample("山月", "--temperature", "2", "--seed", seed).stdout == succeeds(first)


def test_sample_without_a_prompt() -> None:
    record = json.loads(succeeds(sample("--seed", "1", "--format", "jsonl")))
    assert record["prompt"] == ""
    assert record["poem"]


def test_sample_is_equal_at_any_batch_size() -> None:
    three = succeeds(sample("山", "--seed", "4", "--num", "3"))
    assert three.count("\n\n") == 2
    assert sample("山", "--seed", "4", "--num", "3", "--batch-size", "1").stdout == three
    assert three.startswith(succeeds(sample("山", "--seed", "4", "--num", "2")))
    assert sample("山", "--seed", "5", "--num", "3").stdout != three


def test_sample_json_lines_have_the_documented_keys() -> None:
    out = succeeds(
        sample("雲山", "--num", "2", "--seed", "3", "--temperature", "0.5", "--format", "jsonl")
    )
    records = [json.loads(line) for line in out.splitlines()]
    assert [list(record) for record in records] == [KEYS, KEYS]
    assert [record["index"] for record in records] == [0, 1]
    first = records[0]
    given = (first["prompt"], first["seed"], first["temperature"], first["model"])
    assert given == ("云山", 3, 0.5, "tiny")
    assert first["model_hash"] == file_digest(Path("tiny.safetensors"))
    assert first["poem"].startswith("云山")
    assert first["lines"] == [line for line in re.split("[，。？！]", first["poem"]) if line]
    assert first["nats_per_token"] > 0
    assert first["constraints"] == {}


def test_sample_json_lines_name_a_model_wherever_it_is(model_file: Path) -> None:
    asked = ("山", "--seed", "3", "--json", "--model")
    (first,) = records(succeeds(sample(*asked, str(model_file.resolve()))))
    Path("checkpoints/short").mkdir(parents=True)
    model_file.rename("checkpoints/short/best.safetensors")
    (second,) = records(succeeds(sample(*asked, "short")))
    assert (first["model"], second["model"]) == ("tiny", "short")
    assert first == second | {"model": "tiny"}


def test_sample_reads_the_model_once_for_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise AssertionError

    monkeypatch.setattr("poetgen.cli.sample.file_digest", refuse)
    succeeds(sample("山", "--seed", "3"))


def test_sample_json_is_the_format_jsonl() -> None:
    asked = ("山", "--seed", "3", "--num", "2")
    out = succeeds(sample(*asked, "--json"))
    assert out == succeeds(sample(*asked, "--format", "jsonl"))
    assert out == succeeds(sample(*asked, "--format", "jsonl", "--json"))
    assert len(records(out)) == 2


@pytest.mark.parametrize(
    ("name", "options", "is_json"),
    [
        ("poems.jsonl", [], True),
        ("poems.JSON", [], True),
        ("poems.txt", [], False),
        ("poems.txt", ["--format", "text"], False),
        ("poems", [], False),
        ("poems", ["--json"], True),
        ("poems.md", ["--format", "jsonl"], True),
    ],
)
@pytest.mark.parametrize("prompts", [False, True])
def test_sample_output_has_the_format_of_its_suffix(
    name: str, options: list[str], is_json: bool, prompts: bool
) -> None:
    Path("prompts.csv").write_text("山\n云\n", encoding="utf-8")
    asked = ["--prompts", "prompts.csv"] if prompts else ["山", "--num", "2"]
    assert sample(*asked, "--output", name, *options).exit_code == 0
    text = Path(name).read_text(encoding="utf-8")
    assert text.startswith("{") == (is_json or (prompts and name == "poems"))


@pytest.mark.parametrize(
    "options",
    [
        ["--json", "--format", "text"],
        ["--json", "--output", "poems.txt"],
        ["--format", "text", "--output", "poems.jsonl"],
        ["--format", "jsonl", "--output", "poems.txt"],
    ],
    ids=" ".join,
)
def test_sample_refuses_two_formats(options: list[str]) -> None:
    result = sample("山", *options)
    assert is_refused(result, 2)
    assert "different formats" in result.stderr
    assert not list(Path().glob("poems*"))


def test_sample_in_traditional_characters() -> None:
    simplified = succeeds(sample("云归", "--seed", "1", "--num", "2"))
    traditional = succeeds(sample("云归", "--seed", "1", "--num", "2", "--script", "traditional"))
    assert traditional.startswith("雲歸")
    assert traditional == to_traditional(simplified)


def test_sample_stream_prints_the_same_poem() -> None:
    assert succeeds(sample("山月", "--seed", "1", "--stream")) == succeeds(
        sample("山月", "--seed", "1", "--no-stream")
    )


def test_sample_applies_filters() -> None:
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
def test_sample_normalizes_the_prompt(prompt: str, kept: str) -> None:
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
def test_sample_warns_of_unknown_characters(prompt: str, named: str) -> None:
    result = sample(prompt, "--seed", "1")
    kept = prompt.replace("\udce5", "\ufffd") if "龘" not in prompt else "山"
    assert succeeds(result).startswith(kept)
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert named in warning


@pytest.mark.parametrize(
    "prompt", ["", "  ", "，", "。！", "?", "😀", "Hello", "\udce5", "42"], ids=ascii
)
def test_sample_refuses_a_prompt_of_unknown_characters(prompt: str) -> None:
    assert is_refused(sample(prompt), 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--temperature", "inf"], "temperature is inf"),
        (["--top-k", "-1"], "top_k is -1"),
        (["--top-p", "0"], "top_p is 0.0"),
        (["--top-p", "nan"], "top_p is nan"),
        (["--min-p", "2"], "min_p is 2.0"),
        (["--particles", "0"], "particles is 0"),
        (["--best-of", "0"], "best_of is 0"),
        (["--best-of", "1001"], "best_of is 1001"),
        (["--num", "0"], "num is 0"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--form", "五言"], "there is no form 五言"),
        (["--rhyme-group", "中"], "中 is not a rhyme group"),
        (["--acrostic", "x"], "the acrostic x has characters that are not Chinese"),
        (["--acrostic-at", "middle"], "acrostic_at is 'middle'"),
    ],
)
def test_sample_refuses_an_option_out_of_range(options: list[str], why: str) -> None:
    result = sample("山", *options)
    assert is_refused(result, 2)
    assert f"poetgen: {why}\n" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--temperature", "warm"],
        ["--top-k", "2.5"],
        ["--num", "many"],
        ["--batch-size", "1.5"],
        ["--seed", "x"],
        ["--format", "xml"],
        ["--script", "cursive"],
    ],
    ids=" ".join,
)
def test_sample_names_an_option_of_the_wrong_type(options: list[str]) -> None:
    result = sample("山", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert options[0] in result.stderr
    assert "Traceback" not in result.stderr


def test_sample_accepts_a_huge_top_k() -> None:
    result = sample("山", "--seed", "1", "--top-k", str(10**20))
    assert result.stdout == succeeds(sample("山", "--seed", "1"))


def test_sample_at_a_tiny_temperature_is_greedy() -> None:
    result = sample("山", "--seed", "1", "--temperature", "1e-320")
    assert result.stdout == succeeds(sample("山", "--seed", "1", "--temperature", "0"))


@pytest.mark.parametrize(
    "options",
    [
        ["山", "--stream", "--num", "2"],
        ["山", "--stream", "--format", "jsonl"],
        ["山", "--stream", "--output", "x"],
        ["山", "--stream", "--explain"],
        ["山", "--stream", "--particles", "2"],
        ["山", "--stream", "--form", "五绝", "--particles", "4"],
        ["山", "--stream", "--best-of", "2"],
        ["--soft"],
        ["--tones"],
        ["--form", "五绝", "--tones", "--soft"],
        ["--form", "五绝", "--acrostic", "春夏秋冬雪"],
        ["--form", "五绝", "--rhyme-group", "送"],
        ["--stream", "--prompts", "prompts.txt"],
        ["山", "--prompts", "prompts.txt"],
    ],
    ids=" ".join,
)
def test_sample_refuses_contradicting_options(options: list[str]) -> None:
    Path("prompts.txt").write_text("山\n", encoding="utf-8")
    assert is_refused(sample(*options), 2)
    assert not Path("x").exists()


def damaged_models(model_file: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of files that are no model, and what the message says of each."""
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
        ("folder", "folder contains no best.safetensors"),
        ("old.pkl", "old.pkl is a pickle"),
        ("last.pt", "last.pt is a pickle"),
        ("newer", "newer has format version 99"),
        ("foreign", "foreign is a safetensors file, but not one of poetgen's"),
    ]


def test_sample_refuses_files_that_are_no_model(model_file: Path) -> None:
    torch.manual_seed(0)
    for name, why in damaged_models(model_file):
        result = sample("山", "--model", name)
        assert is_refused(result, 1), name
        assert why in result.stderr


def test_sample_loads_the_newest_run_by_default(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POETGEN_CHECKPOINT")
    run = Path("checkpoints") / "short"
    run.mkdir(parents=True)
    model_file.rename(run / "best.safetensors")
    (run.parent / "latest").write_text("short\n")
    result = sample("山", "--seed", "1")
    succeeds(result)
    assert result.stderr.startswith("model short (newest run; choose another with --model)")


def test_sample_writes_an_output_file() -> None:
    printed = succeeds(sample("山", "--num", "2", "--seed", "1"))
    Path("new").mkdir()
    result = sample("山", "--num", "2", "--seed", "1", "--output", "new/poems.txt")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("new/poems.txt").read_text(encoding="utf-8") == printed
    assert [file.name for file in Path("new").iterdir()] == ["poems.txt"]


@pytest.mark.parametrize(
    ("output", "why", "fix"),
    [
        ("file/poems.txt", "file is not a folder", "Choose another path."),
        ("folder", "it is a folder", "Name a file, for example one in folder."),
        ("new/poems.txt", "there is no folder new", "Create the folder first"),
    ],
)
@pytest.mark.parametrize("prompts", ["prompts.txt", "-"])
def test_sample_says_why_an_output_cannot_be_written(
    output: str, why: str, fix: str, prompts: str
) -> None:
    Path("file").write_text("old")
    Path("folder").mkdir()
    Path("folder/inside").write_text("old")
    Path("prompts.txt").write_text("山\n", encoding="utf-8")
    for asked in (["山"], ["--prompts", prompts]):
        result = sample(*asked, "--output", output, stdin="山\n")
        assert is_refused(result, 1)
        assert f"{output} cannot be written: {why}\n  → {fix}" in result.stderr
    assert Path("file").read_text() == Path("folder/inside").read_text() == "old"
    assert not Path("new").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write anywhere")
def test_sample_says_that_an_output_is_read_only() -> None:
    Path("folder").mkdir(mode=0o500)
    result = sample("山", "--output", "folder/poems.txt")
    assert is_refused(result, 1)
    assert "folder/poems.txt cannot be written: permission denied" in result.stderr


@pytest.mark.parametrize("prompts", [None, "prompts.txt", "-"])
def test_sample_replaces_a_file_only_on_request(prompts: str | None) -> None:
    Path("prompts.txt").write_text("山\n", encoding="utf-8")
    asked = ["山"] if prompts is None else ["--prompts", prompts]
    asked += ["--num", "2", "--seed", "1", "--output", "all.jsonl"]
    Path("all.jsonl").write_text("hours of poems")
    result = sample(*asked, stdin="山\n")
    assert is_refused(result, 2)
    assert "all.jsonl exists already" in result.stderr
    assert "--overwrite" in result.stderr
    assert Path("all.jsonl").read_text() == "hours of poems"
    assert not list(Path().glob("all.jsonl.*"))
    assert sample(*asked, "--overwrite", stdin="山\n").exit_code == 0
    assert len(records(Path("all.jsonl").read_text(encoding="utf-8"))) == 2
    assert not list(Path().glob("all.jsonl.*"))


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
@pytest.mark.parametrize("target", ["/dev/stdout", os.devnull])
def test_sample_writes_to_a_device(target: str) -> None:
    asked = [*("山", "--num", "2", "--seed", "1"), "--output", target]
    call = [sys.executable, "-m", "poetgen", "sample", *asked]
    Path("all.txt").write_text("before\n")
    with Path("all.txt").open("a") as stream:  # as by >> all.txt
        subprocess.run(call, stdout=stream, check=True, timeout=60)
    poems = succeeds(sample("山", "--num", "2", "--seed", "1")) if "stdout" in target else ""
    assert Path("all.txt").read_text(encoding="utf-8") == "before\n" + poems


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_sample_prompts_become_json_lines() -> None:
    Path("prompts.txt").write_text('\ufeff山月\n\n{"prompt": "雲", "seed": 9}\n', encoding="utf-8")
    out = succeeds(sample("--prompts", "prompts.txt", "--num", "2", "--seed", "1"))
    found = [(r["index"], r["prompt"], r["seed"]) for r in records(out)]
    assert found == [(0, "山月", 1), (1, "山月", 1), (4, "云", 9), (5, "云", 9)]


def test_sample_prompts_become_text_on_request() -> None:
    out = succeeds(sample("--prompts", "-", "--format", "text", "--seed", "1", stdin="山月\n云\n"))
    first, second = out.split("\n\n")
    assert first.startswith("山月")
    assert second.startswith("云")


def test_sample_first_prompt_equals_a_single_call() -> None:
    (record,) = records(succeeds(sample("--prompts", "-", "--seed", "3", stdin="山月\n")))
    poem = succeeds(sample("山月", "--seed", "3")).replace("\n", "")
    assert record["poem"] == poem


def test_sample_prompts_with_bad_lines_exit_1() -> None:
    bad = '山\n{"prompt": 5}\nhello\n云\n'
    result = sample("--prompts", "-", "--seed", "1", stdin=bad)
    assert result.exit_code == 1
    assert [r["index"] for r in records(result.stdout)] == [0, 3]
    assert "line 2: prompt is 5, not a string. Give a string.\n" in result.stderr
    assert "line 3: the model's vocabulary has no character of the prompt hello. " in result.stderr
    why, fix = result.stderr.splitlines()[-2:]
    assert why.startswith("poetgen: 2 lines could not be used")
    assert fix.startswith("  → Correct those lines and run it again with --seed 1: ")
    corrected = sample("--prompts", "-", "--seed", "1", stdin=bad.replace("hello", "月"))
    assert [r for r in records(corrected.stdout) if r["index"] != 2] == records(result.stdout)


FORMS = {"五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}


@pytest.mark.parametrize("form", FORMS)
def test_sample_keeps_the_form_and_records_it(form: str) -> None:
    out = succeeds(sample("--form", form, "--num", "3", "--seed", "1", "--format", "jsonl"))
    num_lines, length = FORMS[form]
    for record in records(out):
        assert record["form"] == form
        assert record["constraints"] == {"form": form}
        assert [len(line) for line in record["lines"]] == [length] * num_lines
        assert record["warnings"] == []


def test_sample_keeps_combined_constraints() -> None:
    out = succeeds(
        sample(
            *("山", "--form", "wujue", "--rhyme", "--tones", "--acrostic", "山云月人"),
            *("--num", "3", "--seed", "1", "--format", "jsonl"),
        )
    )
    for record in records(out):
        assert "".join(line[0] for line in record["lines"]) == "山云月人"
        found = scan(record["lines"])
        assert found is not None
        assert found.regulated
        assert record["constraints"] == {
            "form": "五绝",
            "rhyme": True,
            "tones": True,
            "acrostic": "山云月人",
        }


def test_sample_soft_form_enforces_nothing() -> None:
    result = sample("山", "--form", "五绝", "--soft", "--seed", "1")
    assert result.stdout == succeeds(sample("山", "--seed", "1"))
    assert "warning: the model was not trained with the form 五绝" in result.stderr


def test_sample_warns_of_unsupported_conditions() -> None:
    asked = ["山", "--title", "望月", "--author", "李白", "--seed", "1"]
    result = sample(*asked)
    assert result.stdout == succeeds(sample("山", "--seed", "1"))
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: the model was not trained with authors: the author is left out",
        "warning: the model was not trained with titles: the title is left out",
    ]
    (record,) = records(succeeds(sample(*asked, "--format", "jsonl")))
    assert [f"warning: {warning}" for warning in record["warnings"][:2]] == warnings
    assert record["constraints"] == {"author": "李白", "title": "望月"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["山云归去晚，", "--form", "七绝"], "ends a line of 5"),
        (["山云归去晚月", "--form", "五绝"], "a line of 五绝 has 5 characters"),
        (["山", "--acrostic", "云月"], "does not fit here: 云 is required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_sample_locates_a_prompt_that_breaks_the_form(arguments: list[str], why: str) -> None:
    for form in (["--format", "text"], ["--format", "jsonl"], ["--stream"], ["--num", "3"]):
        result = sample(*arguments, *form)
        assert is_refused(result, 3)
        assert why in result.stderr
        assert re.search(r"character \d+ \(.\)", result.stderr)


def test_sample_keeps_the_old_output_on_exit_3() -> None:
    Path("poems.txt").write_text("old")
    asked = ("山云归去晚，", "--form", "七绝", "--output", "poems.txt", "--overwrite")
    assert is_refused(sample(*asked), 3)
    assert Path("poems.txt").read_text() == "old"
    assert not list(Path().glob("poems.txt.*"))


@pytest.mark.parametrize(
    "options",
    [
        ["--form", "五绝"],
        ["--form", "七绝", "--rhyme", "--tones"],
        ["--rhyme"],
        ["--acrostic", "山云月"],
        ["--form", "五律", "--script", "traditional"],
    ],
    ids=" ".join,
)
def test_sample_stream_under_constraints_is_the_same(options: list[str]) -> None:
    one = succeeds(sample("山", *options, "--seed", "2", "--particles", "1"))
    assert succeeds(sample("山", *options, "--seed", "2", "--stream")) == one
    explicit = sample("山", *options, "--seed", "2", "--stream", "--particles", "1")
    assert succeeds(explicit) == one


def on_terminal(*arguments: str) -> str:
    """The standard output of a call on a terminal."""
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    call = [sys.executable, "-m", "poetgen", "sample", *arguments]
    with subprocess.Popen(call, stdout=terminal, stderr=subprocess.PIPE) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # the end of a terminal on Linux
            while piece := os.read(main, 1024):
                shown += piece
        assert process.stderr is not None
        assert process.wait(timeout=60) == 0, process.stderr.read().decode()
    os.close(main)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["山月"],
        ["山", "--form", "五绝", "--rhyme", "--particles", "1", "--script", "traditional"],
        ["山", "--form", "五绝"],
    ],
    ids=" ".join,
)
def test_sample_prints_the_same_to_terminal_and_pipe(arguments: list[str]) -> None:
    poem = succeeds(sample(*arguments, "--seed", "2"))
    # A restart erases what was shown.
    assert on_terminal(*arguments, "--seed", "2").rpartition("\x1b[J")[2] == poem


def events_of(pattern: str) -> Iterator[Event]:
    """An event per character; / is a dead end, ! the last of them, $ the end of the poem."""
    for symbol in pattern:
        if symbol == "/":
            yield Restart(0)
        elif symbol == "!":
            yield GivenUp(0, ConstraintError("a dead end", "Drop a constraint."))
        else:
            yield SampledToken(0, 9, 1.0, in_prompt=False, text=symbol.strip("$"))


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], "山云\r\x1b[J云。\n"),
        (["--stream"], "山云\r\x1b[J云。\n"),
        (["--no-stream"], "云。\n"),
    ],
    ids=["default", "stream", "no-stream"],
)
def test_sample_erases_a_poem_that_restarts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    shown: str,
) -> None:
    monkeypatch.setattr(Generator, "stream", lambda *_, **__: events_of("山云/云。$"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    app(["sample", "-f", "五绝", "--particles", "1", *arguments], standalone_mode=False)
    out, err = capsys.readouterr()
    assert out == shown
    assert "cut off" not in err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    monkeypatch.setattr(Generator, "stream", lambda *_, **__: events_of("山云/云。$"))
    app(["sample", "-f", "五绝", "--particles", "1", *arguments], standalone_mode=False)
    assert capsys.readouterr().out == "云。\n"


def test_sample_that_is_given_up_exits_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(
        _self: Generator, requests: Iterable[Request], **_settings: Any
    ) -> Iterator[Failure]:
        for request in requests:
            yield Failure(request, ConstraintError("a dead end", "Drop a constraint."))

    monkeypatch.setattr(Generator, "stream", lambda *_, **__: events_of("山/云!"))
    monkeypatch.setattr(Generator, "generate", failing)
    for arguments in (
        ["山"],
        ["-f", "五绝"],
        ["-f", "五绝", "--stream"],
        ["-f", "五绝", "--output", "poem.txt"],
        ["--format", "jsonl"],
        ["山", "--num", "2"],
    ):
        result = sample(*arguments)
        assert is_refused(result, 3)
        assert result.stderr.count("a dead end") == (3 if "--num" in arguments else 1)
    assert not list(Path().glob("poem.txt*"))


def test_sample_particles_depend_only_on_the_seed() -> None:
    asked = ["--form", "五绝", "--rhyme", "--seed", "3", "--num", "4", "--best-of", "2"]
    several = succeeds(sample(*asked, "--particles", "3"))
    assert sample(*asked, "--particles", "3", "--batch-size", "1").stdout == several
    assert sample(*asked, "--particles", "1").stdout != several
    default = sample(*asked).stdout
    assert default == succeeds(sample(*asked, "--particles", str(Options().particles)))


def test_sample_explains_a_poem_below_it() -> None:
    plain = succeeds(sample("山月", "--form", "五绝", "--seed", "1"))
    out = succeeds(sample("山月", "--form", "五绝", "--seed", "1", "--explain"))
    poem, _, table = out.partition("\n\n")
    assert poem + "\n" == plain
    first_line, tones, chances = table.splitlines()[:3]
    assert first_line.split()[:5] == [*plain[:5]]
    assert set("".join(tones.split())) <= set("平仄通？")
    assert all(chance.endswith("%") for chance in chances.split())
    assert "五绝, order" in table


def test_sample_explains_a_record_by_probabilities() -> None:
    asked = ["山月", "--form", "五绝", "--seed", "1", "--format", "jsonl"]
    (plain,), (explained,) = (
        records(succeeds(sample(*asked, *more))) for more in ([], ["--explain"])
    )
    chances = explained.pop("probabilities")
    assert explained == plain
    assert len(chances) == len(plain["poem"]) + 1
    assert all(0 <= chance <= 1 for chance in chances)


def test_sample_prompts_set_their_own_options() -> None:
    lines = [
        {"form": "五绝", "rhyme": True},
        {"form": "七律", "tones": True, "particles": 2},
        {"prompt": "山月"},
        {"acrostic": "山云月", "seed": 5},
        {"form": "五绝", "soft": True},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    found = records(succeeds(sample("--prompts", "-", "--seed", "1", stdin=text)))
    assert [record["constraints"] for record in found] == [
        {"form": "五绝", "rhyme": True},
        {"form": "七律", "tones": True},
        {},
        {"acrostic": "山云月"},
        {"form": "五绝", "soft": True},
    ]
    for index, line in enumerate(lines):  # each as in a file of its own
        single = text.splitlines()[index]
        (record,) = records(
            succeeds(sample("--prompts", "-", "--seed", "1", stdin="\n" * index + single))
        )
        assert record == found[index], line


def test_sample_prompts_report_unmet_constraints() -> None:
    lines = '山\n{"prompt": "山月照，", "form": "七绝"}\n{"form": "五绝", "acrostic": "云云云云云"}\n云\n'
    result = sample("--prompts", "-", "--seed", "1", stdin=lines)
    assert result.exit_code == 1
    assert [r["index"] for r in records(result.stdout)] == [0, 3]
    reported = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert reported[0].startswith("line 2: ，")
    assert "ends a line of 3" in reported[0]
    assert reported[1].startswith("line 3: the acrostic 云云云云云 has 5 characters")
    assert "poetgen: 2 lines could not be used" in result.stderr


def write_prompts(num: int) -> None:
    lines = ['{"form": "五绝", "rhyme": true}', "山", "{", "云月", '{"acrostic": "山云"}']
    Path("prompts.jsonl").write_text("".join(lines[i % 5] + "\n" for i in range(num)))


def test_sample_job_resumed_is_identical(monkeypatch: pytest.MonkeyPatch) -> None:
    write_prompts(100)
    call = ["--prompts", "prompts.jsonl", "--batch-size", "8", "--output"]
    straight = sample(*call, "straight", "--seed", "5")
    generate = Generator.generate

    def interrupted(
        self: Generator, requests: Iterable[Request], **settings: Any
    ) -> Iterator[Sample | Failure]:
        for result in generate(self, requests, **settings):
            if result.request.index in stops:
                raise KeyboardInterrupt
            yield result

    stops = [0, 41, 78]
    monkeypatch.setattr(Generator, "generate", interrupted)
    while stops:
        # The first interruption leaves nothing; after the second the seed is that of the job.
        seeded = ["--seed", "5"] if len(stops) > 1 else []
        result = sample(*call, "resumed", *seeded)
        assert (result.exit_code, result.stdout) == (130, "")
        assert "poetgen: interrupted" in result.stderr
        assert not Path("resumed").exists()
        del stops[0]
    result = sample(*call, "resumed")
    assert result.exit_code == straight.exit_code == 1
    assert "resuming this job: " in result.stderr
    assert result.stderr.splitlines()[-2] == straight.stderr.splitlines()[-2]
    assert Path("resumed").read_bytes() == Path("straight").read_bytes()


def test_sample_job_corrected_keeps_the_other_poems(monkeypatch: pytest.MonkeyPatch) -> None:
    write_prompts(40)
    call = ["--prompts", "prompts.jsonl", "--num", "2", "--output", "poems.txt"]
    result = sample(*call)
    assert result.exit_code == 1
    fix = result.stderr.splitlines()[-1]
    assert fix.endswith("run it again: the other poems are kept in poems.txt.job.")
    seed = result.stderr.partition("seed ")[2].split()[0]
    lines = Path("prompts.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    lines = ["月\n" if line == "{\n" else line for line in lines]
    Path("prompts.jsonl").write_text("".join(lines), encoding="utf-8")
    generated = []
    generate = Generator.generate

    def noting(
        self: Generator, requests: Iterable[Request], **settings: Any
    ) -> Iterator[Sample | Failure]:
        for result in generate(self, requests, **settings):
            generated.append(result.request.index)
            yield result

    monkeypatch.setattr(Generator, "generate", noting)
    result = sample(*call)
    assert result.exit_code == 0, result.stderr
    assert "resuming this job: 64 of 80 poems are done" in result.stderr
    assert generated == [10 * i + j for i in range(8) for j in (4, 5)]
    assert sample(*call[:-1], "fresh.txt", "--seed", seed).exit_code == 0
    assert Path("fresh.txt").read_bytes() == Path("poems.txt").read_bytes()
    assert not list(Path().glob("*.job"))


@pytest.mark.parametrize(
    "options",
    [["--temperature", "0.0005"], ["--temperature", "0.001", "-f", "五绝", "--best-of", "2"]],
    ids=["free", "form"],
)
def test_sample_unique_poems_at_any_batch_size(options: list[str]) -> None:
    asked = ["--num", "16", "--seed", "1", "--top-k", "2", "--json", *options]
    plain = records(succeeds(sample(*asked)))
    assert len({record["poem"] for record in plain}) < 16
    results = [sample(*asked, "--unique", "--batch-size", size) for size in ("1", "7", "64")]
    poems = [record["poem"] for record in records(results[0].stdout)]
    assert len(set(poems)) == len(poems) > len({record["poem"] for record in plain})
    for result in results:
        assert (result.stdout, result.exit_code) == (results[0].stdout, results[0].exit_code)


def test_sample_unique_refuses_temperature_0() -> None:
    result = sample("山", "--num", "2", "--temperature", "0", "--unique")
    assert is_refused(result, 2)
    assert "unique needs a temperature above 0" in result.stderr


def test_sample_warns_of_equal_poems() -> None:
    warning = "at temperature 0 all poems of a prompt are the same"
    result = sample("山", "--num", "2", "--temperature", "0", "--seed", "1")
    first, second = succeeds(result).split("\n\n")
    assert first == second.removesuffix("\n")
    assert result.stderr.count(f"warning: {warning}\n") == 1
    result = sample("山", "--num", "2", "--temperature", "0", "--json")
    assert [record["warnings"][0] for record in records(result.stdout)] == [warning] * 2


def job(*arguments: str) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "poetgen", "sample", "--prompts", "prompts.jsonl"]
    return subprocess.Popen([*call, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_sample_job_killed_and_resumed_is_identical() -> None:
    write_prompts(800)
    seed = ["--seed", "7"]
    with job("--output", "whole.jsonl", *seed) as process:
        assert process.wait(timeout=200) == 1  # a fifth of the lines is bad
    size = Path("whole.jsonl").stat().st_size
    chance = random.Random(1)
    log = Path("resumed.jsonl.job")
    so_far = 1000  # more than the description of the job
    for _ in range(2):
        with job("--output", "resumed.jsonl", *seed) as process:
            while process.poll() is None and (not log.exists() or log.stat().st_size <= so_far):
                time.sleep(0.01)
            time.sleep(chance.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        so_far = log.stat().st_size
        assert so_far < size
        assert not Path("resumed.jsonl").exists()
    with job("--output", "resumed.jsonl") as process:  # the seed is that of the job
        assert process.wait(timeout=200) == 1
        assert process.stderr is not None
        assert b"160 lines could not be used" in process.stderr.read()
    assert Path("resumed.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_sample_job_finished_is_repeated_on_request() -> None:
    Path("prompts.txt").write_text("山\n云\n", encoding="utf-8")
    asked = ["--prompts", "prompts.txt", "--output", "poems.jsonl", "--overwrite"]
    for seed in ("1", "2"):
        assert sample(*asked, "--seed", seed).exit_code == 0
        written = records(Path("poems.jsonl").read_text(encoding="utf-8"))
        assert [record["seed"] for record in written] == [int(seed)] * 2


def test_sample_job_refuses_the_output_of_another() -> None:
    Path("prompts.txt").write_text("山\n{\n", encoding="utf-8")
    asked = ["--prompts", "prompts.txt", "--output", "poems.jsonl"]
    assert sample(*asked).exit_code == 1
    log = Path("poems.jsonl.job")
    log.write_text("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]))
    Path("poems.jsonl").unlink()  # as by an interruption before the end
    result = sample(*asked, "--temperature", "0.5")
    assert is_refused(result, 2)
    assert "another job is unfinished" in result.stderr
    assert "temperature was 0.8, now 0.5" in result.stderr


def test_sample_job_from_stdin_cannot_be_resumed() -> None:
    result = sample("--prompts", "-", "--output", "poems.jsonl", stdin="山\n")
    assert result.exit_code == 0
    assert "this job cannot be resumed" in result.stderr
    assert len(records(Path("poems.jsonl").read_text(encoding="utf-8"))) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_sample_job_writes_to_a_pipe() -> None:
    Path("prompts.txt").write_text("山\n云\n", encoding="utf-8")
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE) as reader:
        result = sample("--prompts", "prompts.txt", "--output", "pipe", "--seed", "1")
        read, _ = reader.communicate(timeout=60)
    assert result.exit_code == 0
    assert [record["index"] for record in records(read.decode())] == [0, 1]
    assert Path("pipe").is_fifo()
    assert not list(Path().glob("pipe.*"))


def test_sample_job_is_equal_at_any_batch_size() -> None:
    write_prompts(6)
    for size in ("1", "64"):
        sample("--prompts", "prompts.jsonl", "--output", size, "--seed", "1", "--batch-size", size)
    assert Path("1").read_bytes() == Path("64").read_bytes()


def test_sample_accepts_short_flags() -> None:
    long = sample(
        *("山", "--form", "五绝", "--temperature", "1.2", "--num", "2", "--seed", "3"),
        *("--model", "tiny.safetensors", "--output", "long"),
    )
    short = sample(
        *("山", "-f", "五绝", "-t", "1.2", "-n", "2", "-s", "3"),
        *("-m", "tiny.safetensors", "-o", "short"),
    )
    assert long.exit_code == short.exit_code == 0
    assert Path("long").read_bytes() == Path("short").read_bytes()


def test_sample_device_is_checked() -> None:
    poem = succeeds(sample("山", "--seed", "1"))
    assert succeeds(sample("山", "--seed", "1", "--device", "cpu")) == poem
    result = sample("山", "--device", "abacus")
    assert is_refused(result, 2)
    assert "abacus" in result.stderr


def test_sample_help_states_the_default_of_particles() -> None:
    help_text = " ".join(runner.invoke(app, ["sample", "--help"]).stdout.replace("│", "").split())
    assert f"are slower. [default: {Options().particles}] --best-of" in help_text
    assert "sampling under constraints is an approximation" in help_text


def test_sample_job_with_bad_lines_writes_its_output() -> None:
    result = sample("--prompts", "-", "--output", "poems.jsonl", stdin="山\n{\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [r["index"] for r in records(Path("poems.jsonl").read_text(encoding="utf-8"))] == [0]


def test_sample_records_hold_warnings_of_their_line() -> None:
    (record,) = records(succeeds(sample("--prompts", "-", "--seed", "1", stdin="山😀\n")))
    assert "😀 (U+1F600 GRINNING FACE)" in str(record["warnings"])


def test_sample_prompts_that_are_not_utf8_exit_1() -> None:
    Path("poems.jsonl").write_text("old")
    Path("prompts.txt").write_bytes("云".encode("gb18030") + b"\n")
    result = sample("--prompts", "prompts.txt", "--output", "poems.jsonl", "--overwrite")
    assert is_refused(result, 1)
    assert "line 1: not UTF-8" in result.stderr
    assert Path("poems.jsonl").read_text() == "old"


def test_sample_prompts_that_are_missing_exit_1() -> None:
    result = sample("--prompts", "absent.txt", "--output", "poems.jsonl")
    assert is_refused(result, 1)
    assert "absent.txt cannot be read" in result.stderr
    assert not list(Path().glob("poems.jsonl*"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children receive Ctrl-C even if the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def endless(*arguments: str) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "poetgen", "sample", "山", "--num", "1000000", *arguments]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_text(process: "subprocess.Popen[bytes]", file: Path, text: str) -> None:
    """Wait until `file` holds `text`, or the process has ended."""
    while process.poll() is None and not (
        file.exists() and text in file.read_text(encoding="utf-8", errors="replace")
    ):
        time.sleep(0.02)


def test_sample_exits_0_if_its_pipe_is_closed() -> None:
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
def test_sample_exits_by_a_signal_with_its_code(number: int, code: int) -> None:
    with endless() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == code
        assert b"Traceback" not in stderr


@pytest.mark.usefixtures("interruptible")
def test_sample_interrupted_keeps_old_and_new_text() -> None:
    Path("poems.txt").write_text("old")
    with endless("--output", "poems.txt", "--overwrite") as process:
        wait_for_text(process, Path("poems.txt.job"), '"index": 63')
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr.decode()
        assert "rerun the command to resume" in stderr.decode()
    assert Path("poems.txt").read_text() == "old"
    assert '"text": "山' in Path("poems.txt.job").read_text(encoding="utf-8")


def test_sample_killed_resumes_with_its_seed() -> None:
    call = ("山", "--num", "1500", "--output", "poems.txt")
    with subprocess.Popen([sys.executable, "-m", "poetgen", "sample", *call]) as process:
        wait_for_text(process, Path("poems.txt.job"), '"index": 63')
        process.kill()
    assert not Path("poems.txt").exists()
    result = sample(*call)
    assert result.exit_code == 0, result.stderr
    assert "resuming this job: " in result.stderr
    poems = Path("poems.txt").read_text(encoding="utf-8")
    assert poems.count("\n\n") == 1499
    seed = result.stderr.rsplit("seed ", 1)[1].split()[0]
    assert sample(*call[:3], "--seed", seed, "--output", "whole.txt").exit_code == 0
    assert Path("whole.txt").read_text(encoding="utf-8") == poems


def test_sample_takes_a_minus_as_standard_output() -> None:
    result = sample("山", "--seed", "1", "--num", "2", "--output", "-")
    succeeds(result)
    assert result.stdout.count("山") >= 2
    assert not Path("-").exists()


@pytest.mark.parametrize("folder", [".", "/"])
def test_sample_refuses_a_folder_without_a_name(folder: str) -> None:
    result = sample("山", "--output", folder)
    assert result.exit_code == 1
    assert "cannot be written: it is a folder" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell")
def test_sample_writes_to_standard_output_among_others() -> None:
    program = f"{shlex.quote(sys.executable)} -m poetgen"
    call = f"(echo a; {program} sample 山 --seed 1 --num 2 --output /dev/stdout; echo b) > all.txt"
    subprocess.run(call, shell=True, check=True, capture_output=True, timeout=60)
    first, *poems, last = Path("all.txt").read_text(encoding="utf-8").splitlines()
    assert (first, last) == ("a", "b")
    assert "".join(poems).count("山") >= 2
