"""The program as a whole: help, version, streams, exit codes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import poetgen
from poetgen.cli.main import make_app

app = make_app()

runner = CliRunner()
COMMANDS = {
    ("train",): "poetgen train",
    ("sample",): "poetgen sample",
    ("eval",): "poetgen eval",
    ("scan",): "poetgen scan",
    ("inspect",): "poetgen inspect",
    ("info",): "poetgen info",
    ("plot",): "poetgen plot",
    ("export",): "poetgen export",
    ("corpus", "fetch"): "poetgen corpus fetch",
    ("corpus", "report"): "poetgen corpus report",
}


def test_version_is_that_of_the_package() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"poetgen {poetgen.__version__}\n")


def test_program_without_a_command_shows_a_first_command() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.split("\n\n")
    assert first == "poetgen generates Tang poems with a stacked LSTM. A trained model is included."
    assert rest[0] == "Generate a poem:\n  poetgen sample 床前"
    assert "poetgen --help" in rest[-1]
    commands = re.findall(r"^  poetgen (.*)", done.stdout, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        # With --help at its end the line is parsed, but nothing is run.
        assert runner.invoke(app, [*shlex.split(command), "--help"]).exit_code == 0


def test_group_without_a_command_shows_help() -> None:
    done = run("corpus")
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage" in done.stdout
    assert "fetch" in done.stdout


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(option: str) -> None:
    result = runner.invoke(app, [option])
    assert result.exit_code == 0
    for word in ("corpus", "train", "sample", "eval"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "why", "fix"),
    [
        ("smaple", "there is no command smaple", "Did you mean sample?"),
        ("corpus x", "there is no command x", "See poetgen corpus --help."),
        ("sample --temprature 1", "there is no option --temprature", "Did you mean --temperature?"),
        ("sample --json=3", "--json takes no value", "See poetgen --help."),
        ("sample --seed", "--seed needs a value", "See poetgen --help."),
        ("sample a b", "unexpected: b", "See poetgen sample --help."),
        ("export", "MODEL is missing", "See poetgen export --help."),
        (
            "sample --num x",
            "the value of --num is invalid: expected a whole number",
            "See poetgen sample --help.",
        ),
        (
            "inspect 山 --temperature x",
            "the value of --temperature is invalid: expected a number",
            "See poetgen inspect --help.",
        ),
        (
            "corpus report --min-count 0",
            "the value of --min-count is invalid: expected 1 or more",
            "See poetgen corpus report --help.",
        ),
        (
            "sample --script q",
            "the value of --script is invalid: 'q' is not one of 'simplified', 'traditional'",
            "See poetgen sample --help.",
        ),
    ],
)
def test_program_explains_a_wrong_call_in_two_lines(arguments: str, why: str, fix: str) -> None:
    done = run(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"poetgen: {why}\n  → {fix}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_in_examples_that_parse(
    command: tuple[str, ...],
) -> None:
    result = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    examples = re.findall(r"Example: `?(poetgen [^`│\n]*)", result.stdout)
    assert examples, result.stdout
    for example in examples:
        assert example.startswith(COMMANDS[command])
        # With --help at its end the line is parsed, but nothing is run.
        assert runner.invoke(app, [*shlex.split(example)[1:], "--help"]).exit_code == 0


def test_help_does_not_import_torch(tmp_path: Path) -> None:
    call = [sys.executable, "-X", "importtime", "-m", "poetgen", "--help"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(r"\| +poetgen\b", done.stderr)
    assert not re.search(r"\| +torch\b", done.stderr)


def test_help_of_commands_does_not_import_torch() -> None:
    script = (
        "import sys\nfrom poetgen.cli.main import make_app\napp = make_app()\n"
        f"for command in {list(COMMANDS)!r}:\n"
        "    app([*command, '--help'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage") == len(COMMANDS)


def test_sample_refuses_options_before_importing_torch(tmp_path: Path) -> None:
    call = [sys.executable, "-X", "importtime", "-m", "poetgen", "sample", "--temperature", "-1"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "poetgen: temperature is -1.0" in done.stderr
    assert not re.search(r"\| +torch\b", done.stderr)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "poetgen", *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=60)


PROGRAM = f"{shlex.quote(sys.executable)} -m poetgen"
PIPED = [
    "--help",
    "--version",
    "scan --help",
    "scan poems.txt",
    "info",
    "corpus report --corpus starter",
    "inspect 山月",
]


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell")
@pytest.mark.parametrize("arguments", PIPED)
def test_program_exits_0_if_its_pipe_is_closed(
    model_file: Path, tmp_path: Path, arguments: str
) -> None:
    (tmp_path / "poems.txt").write_text("白日依山尽，黄河入海流。\n" * 9, encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    done = in_shell(f"{PROGRAM} {arguments}", tmp_path, stdout=writer, model=model_file)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(("model ", "warning: ")) for line in done.stderr.splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", ["--help", "--version", "scan 山。", "info"])
def test_program_reports_a_full_disk(model_file: Path, tmp_path: Path, arguments: str) -> None:
    done = in_shell(f"{PROGRAM} {arguments} >/dev/full", tmp_path, model=model_file)
    assert done.returncode == 1
    assert re.fullmatch("poetgen: the disk is full\n  → .+\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell")
@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {} scan --help >help", 0),
        ("{} sample 山 >&-", 0),
        ("{} sample 山 >&- 2>&-", 0),
        ("{} sample --prompts - <&-", 2),
        ("{} scan - <&-", 2),
    ],
)
def test_program_survives_odd_streams(
    model_file: Path, tmp_path: Path, call: str, code: int
) -> None:
    done = in_shell(call.format(PROGRAM), tmp_path, model=model_file)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def in_shell(
    call: str, folder: Path, *, model: Path, stdout: int = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        call,
        shell=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
        cwd=folder,
        env={**os.environ, "POETGEN_CHECKPOINT": str(model)},
    )
