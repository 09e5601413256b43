"""`poetgen sample`."""

import inspect
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from poetgen.api import PoetModel
from poetgen.cli.main import app
from poetgen.cli.sample import sample as sample_command
from poetgen.data.normalise import to_traditional
from poetgen.model.store import StoredModel
from poetgen.prosody.forms import scan
from poetgen.sampling.options import DEFAULT_PARTICLES, Options
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


pytestmark = pytest.mark.usefixtures("folder_with_a_model")


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
        (["--particles", "0"], "particles is 0"),
        (["--best-of", "0"], "best-of is 0"),
        (["--form", "五言"], "there is no form 五言"),
        (["--rhyme-group", "中"], "中 is no rhyme group"),
        (["--acrostic", "x"], "the acrostic x is not all of Han characters"),
        (["--acrostic-at", "middle"], "acrostic_at is 'middle'"),
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
        ["山", "--stream", "--explain"],
        ["山", "--stream", "--particles", "2"],
        ["山", "--stream", "--form", "五绝", "--particles", "4"],
        ["山", "--stream", "--best-of", "2"],
        ["--soft"],
        ["--tones"],
        ["--form", "五绝", "--tones", "--soft"],
        ["--form", "五绝", "--acrostic", "春夏秋"],
        ["--form", "五绝", "--rhyme-group", "送"],
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
        ("folder", "folder holds no best.safetensors"),
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


def records(text: str) -> list[dict[str, Any]]:
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
    assert "line 2: prompt is 5, not a string. Give a string.\n" in result.stderr
    assert "line 3: the model knows no character of the prompt hello. " in result.stderr
    why, fix = result.stderr.splitlines()[-2:]
    assert why.startswith("poetgen: 2 lines could not be used")
    assert fix.startswith("  → ")
    mended = sample("--prompts", "-", "--seed", "1", stdin=bad.replace("hello", "月"))
    assert [r for r in records(mended.stdout) if r["index"] != 2] == records(result.stdout)


FORMS = {"五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_kept_and_named_in_the_record(form: str) -> None:
    out = succeeds(sample("--form", form, "--num", "3", "--seed", "1", "--format", "jsonl"))
    num_lines, length = FORMS[form]
    for record in records(out):
        assert record["form"] == form
        assert record["constraints"] == {"form": form}
        assert [len(line) for line in record["lines"]] == [length] * num_lines
        assert record["warnings"] == []


def test_constraints_combine_and_scan_finds_them_kept() -> None:
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


def test_a_soft_form_imposes_nothing_and_is_told_where_it_can() -> None:
    result = sample("山", "--form", "五绝", "--soft", "--seed", "1")
    assert result.stdout == succeeds(sample("山", "--seed", "1"))
    assert "warning: the model was not trained with the form 五绝" in result.stderr


def test_a_title_and_an_author_that_the_model_cannot_be_told_are_warned_about() -> None:
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
        (["山", "--acrostic", "云月"], "stands where the acrostic needs 云"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_prompt_that_breaks_a_constraint_exits_3_saying_where(
    arguments: list[str], why: str
) -> None:
    for form in (["--format", "text"], ["--format", "jsonl"], ["--stream"], ["--num", "3"]):
        result = sample(*arguments, *form)
        assert is_refused(result, 3)
        assert why in result.stderr
        assert "第" in result.stderr


def test_a_constraint_that_cannot_be_met_leaves_the_old_output() -> None:
    Path("poems.txt").write_text("old")
    assert is_refused(sample("山云归去晚，", "--form", "七绝", "--output", "poems.txt"), 3)
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
def test_a_stream_under_constraints_prints_the_same_poem(options: list[str]) -> None:
    one = succeeds(sample("山", *options, "--seed", "2", "--particles", "1"))
    assert succeeds(sample("山", *options, "--seed", "2", "--stream")) == one
    alone = sample("山", *options, "--seed", "2", "--stream", "--particles", "1")
    assert succeeds(alone) == one


def test_particles_and_best_of_choose_among_poems_by_the_seed_alone() -> None:
    asked = ["--form", "五绝", "--rhyme", "--seed", "3", "--num", "4", "--best-of", "2"]
    several = succeeds(sample(*asked, "--particles", "3"))
    assert sample(*asked, "--particles", "3", "--batch-size", "1").stdout == several
    assert sample(*asked, "--particles", "1").stdout != several
    default = sample(*asked).stdout
    assert default == succeeds(sample(*asked, "--particles", str(DEFAULT_PARTICLES)))


def test_an_explained_poem_has_its_table_below() -> None:
    plain = succeeds(sample("山月", "--form", "五绝", "--seed", "1"))
    out = succeeds(sample("山月", "--form", "五绝", "--seed", "1", "--explain"))
    poem, _, table = out.partition("\n\n")
    assert poem + "\n" == plain
    first_line, tones, chances = table.splitlines()[:3]
    assert first_line.split()[:5] == [*plain[:5]]
    assert set("".join(tones.split())) <= set("平仄通？")
    assert all(chance.endswith("%") for chance in chances.split())
    assert "五绝, order" in table


def test_an_explained_record_adds_the_probabilities() -> None:
    asked = ["山月", "--form", "五绝", "--seed", "1", "--format", "jsonl"]
    (plain,), (explained,) = (
        records(succeeds(sample(*asked, *more))) for more in ([], ["--explain"])
    )
    chances = explained.pop("probabilities")
    assert explained == plain
    assert len(chances) == len(plain["poem"]) + 1
    assert all(0 <= chance <= 1 for chance in chances)


def test_lines_of_a_job_may_ask_for_different_things() -> None:
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
    for index, line in enumerate(lines):  # each as if it were alone
        alone = text.splitlines()[index]
        (record,) = records(
            succeeds(sample("--prompts", "-", "--seed", "1", stdin="\n" * index + alone))
        )
        assert record == found[index], line


def test_a_line_whose_constraint_cannot_be_met_is_told_and_stops_nothing() -> None:
    lines = '山\n{"prompt": "山月照，", "form": "七绝"}\n{"form": "五绝", "acrostic": "云"}\n云\n'
    result = sample("--prompts", "-", "--seed", "1", stdin=lines)
    assert result.exit_code == 1
    assert [r["index"] for r in records(result.stdout)] == [0, 3]
    told = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert told[0].startswith("line 2: ，")
    assert "ends a line of 3" in told[0]
    assert told[1].startswith("line 3: the acrostic 云 has 1 characters")
    assert "poetgen: 2 lines could not be used" in result.stderr


def write_prompts(num: int) -> None:
    lines = ['{"form": "五绝", "rhyme": true}', "山", "{", "云月", '{"acrostic": "山云"}']
    Path("prompts.jsonl").write_text("".join(lines[i % 5] + "\n" for i in range(num)))


def job(*arguments: str) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "poetgen", "sample", "--prompts", "prompts.jsonl"]
    return subprocess.Popen([*call, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_job_that_is_killed_and_continued_has_the_bytes_of_one_left_alone() -> None:
    write_prompts(800)
    seed = ["--seed", "7"]
    with job("--output", "whole.jsonl", *seed) as process:
        assert process.wait(timeout=200) == 1  # a fifth of the lines is bad
    size = Path("whole.jsonl").stat().st_size
    chance = random.Random(1)
    noted = Path("broken.jsonl.job.json")
    so_far = 0
    for _ in range(2):
        with job("--output", "broken.jsonl", *seed) as process:
            while process.poll() is None and (
                not noted.exists()
                or json.loads(noted.read_bytes())["progress"]["num_bytes"] <= so_far
            ):
                time.sleep(0.01)
            time.sleep(chance.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        so_far = json.loads(noted.read_bytes())["progress"]["num_bytes"]
        assert 0 < so_far < size
        assert not Path("broken.jsonl").exists()
    with job("--output", "broken.jsonl") as process:  # the seed is that of the job
        assert process.wait(timeout=200) == 1
        assert process.stderr is not None
        assert b"160 lines could not be used" in process.stderr.read()
    assert Path("broken.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert not list(Path().glob("broken.jsonl.*"))


def test_a_finished_job_is_done_again() -> None:
    Path("prompts.txt").write_text("山\n云\n", encoding="utf-8")
    asked = ["--prompts", "prompts.txt", "--output", "poems.jsonl"]
    for seed in ("1", "2"):
        assert sample(*asked, "--seed", seed).exit_code == 0
        written = records(Path("poems.jsonl").read_text(encoding="utf-8"))
        assert [record["seed"] for record in written] == [int(seed)] * 2


def test_the_output_of_another_job_is_refused() -> None:
    Path("prompts.txt").write_text("山\n云\n", encoding="utf-8")
    note = {"job": {"num": 1}, "progress": {"seed": 1, "next_index": 64}}
    Path("poems.jsonl.job.json").write_text(json.dumps(note))
    result = sample("--prompts", "prompts.txt", "--output", "poems.jsonl")
    assert is_refused(result, 2)
    assert "another job is unfinished" in result.stderr


def test_a_job_from_standard_input_tells_that_it_cannot_be_continued() -> None:
    result = sample("--prompts", "-", "--output", "poems.jsonl", stdin="山\n")
    assert result.exit_code == 0
    assert "if interrupted, this job starts over" in result.stderr
    assert len(records(Path("poems.jsonl").read_text(encoding="utf-8"))) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_job_may_write_to_a_pipe() -> None:
    Path("prompts.txt").write_text("山\n云\n", encoding="utf-8")
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE) as reader:
        result = sample("--prompts", "prompts.txt", "--output", "pipe", "--seed", "1")
        read, _ = reader.communicate(timeout=60)
    assert result.exit_code == 0
    assert [record["index"] for record in records(read.decode())] == [0, 1]
    assert Path("pipe").is_fifo()
    assert not list(Path().glob("pipe.*"))


def test_the_batch_size_is_no_part_of_a_job() -> None:
    write_prompts(6)
    for size in ("1", "64"):
        sample("--prompts", "prompts.jsonl", "--output", size, "--seed", "1", "--batch-size", size)
    assert Path("1").read_bytes() == Path("64").read_bytes()


def test_the_defaults_of_the_command_are_those_of_the_options() -> None:
    command = inspect.signature(sample_command).parameters
    for field in fields(Options):
        assert command[field.name].default == field.default, field.name


def test_the_help_says_how_many_particles_are_the_default() -> None:
    help_text = " ".join(runner.invoke(app, ["sample", "--help"]).stdout.replace("│", "").split())
    assert f"Default: {DEFAULT_PARTICLES} under constraints" in help_text
    assert "sampling under constraints is an approximation" in help_text


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


def wait_for_text(process: "subprocess.Popen[bytes]", file: Path, text: str) -> None:
    """Wait until `file` holds `text`, or the process has ended."""
    while process.poll() is None and not (file.exists() and text in file.read_text()):
        time.sleep(0.02)


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
    with endless("--output", "poems.txt") as process:
        wait_for_text(process, Path("poems.txt.job.json"), '"num_poems": 64')
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr.decode()
        assert "the same command goes on from there" in stderr.decode()
    assert Path("poems.txt").read_text() == "old"
    assert Path("poems.txt.job").read_text(encoding="utf-8").startswith("山")


def test_a_killed_call_goes_on_with_the_same_command_without_a_seed() -> None:
    call = ("山", "--num", "1500", "--output", "poems.txt")
    with subprocess.Popen([sys.executable, "-m", "poetgen", "sample", *call]) as process:
        wait_for_text(process, Path("poems.txt.job.json"), '"num_poems": 64')
        process.kill()
    assert not Path("poems.txt").exists()
    result = sample(*call)
    assert result.exit_code == 0, result.stderr
    assert "going on where this job was broken off" in result.stderr
    poems = Path("poems.txt").read_text(encoding="utf-8")
    assert poems.count("\n\n") == 1499
    seed = result.stderr.rsplit("seed ", 1)[1].split()[0]
    assert sample(*call[:3], "--seed", seed, "--output", "whole.txt").exit_code == 0
    assert Path("whole.txt").read_text(encoding="utf-8") == poems
