"""Poems on their way out, one call's or those of a file of prompts."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from poetgen.cli.options import OutputFormat, Script
from poetgen.cli.output import open_output, raise_if_failed, tell_cut_off, write_job
from poetgen.cli.render import Page
from poetgen.data.poem import Poem
from poetgen.errors import ConstraintError, OutputError, PoetgenError, UsageError
from poetgen.model.likelihood import Likelihood
from poetgen.sampling.decode import Failed, Sample
from poetgen.sampling.jobs import Job
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request

TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"
DEAD_END = ConstraintError("a dead end", "Ask for less.")


def page(output: Path | None = None, output_format: OutputFormat = OutputFormat.text) -> Page:
    return Page(output_format, Script.simplified, "m.safetensors", output=output)


def sample(text: str, index: int = 0, *, ended: bool = True) -> Sample:
    request = Request(7, index)
    return Sample(request, Poem(text), Likelihood(1, 25, 1, 20, 100.0), ended=ended)


def failed(index: int) -> Failed:
    return Failed(Request(7, index), DEAD_END)


def write(
    results: Iterable[Sample | Failed], output: Path | None = None, *, total: int = 9
) -> None:
    call = Job(None, total, Options(), lambda _: Request(7), tell=print)
    with open_output(output, 7, {"num": total}) as out:
        write_job(call, lambda _: iter(results), page(output), out)
    tell_cut_off(out.progress, page(output))
    raise_if_failed(out.progress, has_lines=False)


def test_poems_are_parted_by_a_blank_line(capsys: pytest.CaptureFixture[str]) -> None:
    write([sample(TEXT), sample(OTHER), sample("云归山")])
    assert capsys.readouterr() == (
        "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n\n云归山，月照人。\n\n云归山\n",
        "",
    )


def test_each_poem_is_written_before_the_next_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def samples() -> Iterator[Sample]:
        for text in (TEXT, OTHER):
            seen.append(capsys.readouterr().out)
            yield sample(text)

    write(samples())
    assert seen[0] == ""
    assert seen[1].startswith("山云归去晚")


def test_an_output_file_holds_what_stdout_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "poems.txt"
    write([sample(TEXT), sample(OTHER)], path)
    assert capsys.readouterr().out == ""
    written = path.read_text(encoding="utf-8")
    write([sample(TEXT), sample(OTHER)])
    assert capsys.readouterr().out == written
    assert [file.name for file in path.parent.iterdir()] == ["poems.txt"]


def test_what_was_in_the_output_file_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")

    def failing() -> Iterator[Sample]:
        yield sample(TEXT)
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(failing(), path)
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write([sample(TEXT)], tmp_path / "file" / "poems.txt")
    assert str(tmp_path / "file" / "poems.txt") in caught.value.why


def test_poems_that_were_cut_off_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write([sample(TEXT), sample("云", ended=False)])
    assert capsys.readouterr().err == "1 of these poems were cut off without an end\n"


def test_the_only_poem_that_fails_raises_its_error_with_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")
    for output in (None, path):
        with pytest.raises(ConstraintError) as caught:
            write([failed(0)], output, total=1)
        assert caught.value is DEAD_END
    assert capsys.readouterr() == ("", "")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems.txt"]


def test_all_poems_that_fail_raise_their_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConstraintError):
        write([failed(0), failed(1)], total=2)
    assert capsys.readouterr() == ("", "poem 1: a dead end\npoem 2: a dead end\n")


def test_one_poem_of_several_that_fails_leaves_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "poems.txt"
    with pytest.raises(PoetgenError, match="1 poem could not be written") as caught:
        write([failed(0), sample(OTHER, 1), sample("云归", 2)], path)
    assert caught.value.exit_code == 1
    assert caught.value.fix == "Ask for less, or take another seed."
    assert path.read_text(encoding="utf-8") == "云归山，月照人。\n\n云归\n"
    assert capsys.readouterr().err == "poem 1: a dead end\n"


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def make(requests: Iterable[Request]) -> Iterator[Sample | Failed]:
    """A poem that names its index and seed; every seventh meets a dead end, every fifth no end."""
    for request in requests:
        if request.index % 7 == 6:
            yield Failed(request, DEAD_END)
        else:
            text = f"{request.prompt.text}{request.index}，{request.seed}。"
            likelihood = Likelihood(1, 9, 0, 8, 20.0)
            yield Sample(request, Poem(text), likelihood, ended=bool(request.index % 5))


def run_job(
    path: Path | None,
    *,
    output_format: OutputFormat = OutputFormat.jsonl,
    stop_at: int | None = None,
    seed: int | None = 3,
    num_lines: int | None = 500,
    num: int = 2,
) -> None:
    def generate(requests: Iterable[Request]) -> Iterator[Sample | Failed]:
        for result in make(requests):
            if result.request.index == stop_at:
                raise Stopped
            yield result

    def tell(message: str) -> None:
        print(message)

    lines = None
    if num_lines is not None:
        lines = (b"{" if i % 50 == 1 else "云".encode() for i in range(num_lines))
    how = page(path, output_format)
    with open_output(path, seed, {"prompts": "x", "num": num}) as output:
        prepare = lambda options: Request(  # noqa: E731
            output.progress.seed, prompt=Prompt(options.prompt or "")
        )
        write_job(Job(lines, num, Options(), prepare, tell), generate, how, output)
    tell_cut_off(output.progress, how)
    raise_if_failed(output.progress, has_lines=num_lines is not None)


@pytest.mark.parametrize("output_format", list(OutputFormat))
def test_a_job_broken_off_and_continued_is_the_job_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output_format: OutputFormat
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with pytest.raises(PoetgenError) as undisturbed:
        run_job(whole, output_format=output_format)
    said = capsys.readouterr()
    for stop_at in (0, 300, 301, 511, 512, 700, 940):
        with pytest.raises(Stopped):
            run_job(broken, output_format=output_format, stop_at=stop_at)
        assert not broken.exists()
    capsys.readouterr()
    with pytest.raises(PoetgenError) as continued:
        run_job(broken, output_format=output_format)
    assert broken.read_bytes() == whole.read_bytes()
    assert str(continued.value) == str(undisturbed.value)
    assert "10 lines could not be used and 139 poems could not be written" in str(continued.value)
    said_again = capsys.readouterr()
    assert said_again.out.splitlines() == said.out.splitlines()[-1:]  # from the chunk of 940 on
    going_on, _, rest = said_again.err.partition("\n")
    assert going_on == "going on where this job was broken off: 752 poems are done"
    assert said.err.endswith(rest)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken", "whole"]


@pytest.mark.parametrize("output_format", list(OutputFormat))
def test_many_poems_without_a_file_of_prompts_go_on_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output_format: OutputFormat
) -> None:
    def run(path: Path, stop_at: int | None = None) -> None:
        run_job(path, output_format=output_format, stop_at=stop_at, num_lines=None, num=1000)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with pytest.raises(PoetgenError, match=r"^142 poems could not be written"):
        run(whole)
    for stop_at in (0, 300, 511, 512, 940):
        with pytest.raises(Stopped):
            run(broken, stop_at)
        assert not broken.exists()
    capsys.readouterr()
    with pytest.raises(PoetgenError, match=r"^142 poems could not be written"):
        run(broken)
    said = capsys.readouterr().err
    assert said.startswith("going on where this job was broken off: 768 poems are done\npoem 903: ")
    assert broken.read_bytes() == whole.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken", "whole"]


def test_a_job_goes_on_with_the_seed_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    with pytest.raises(Stopped):
        run_job(path, stop_at=600, seed=None)
    with pytest.raises(PoetgenError):
        run_job(path, seed=None)
    texts = path.read_text(encoding="utf-8")
    assert len({line.split('"seed": ')[1].split(",")[0] for line in texts.splitlines()}) == 1


def test_what_is_on_the_disk_while_a_job_runs_is_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    with pytest.raises(Stopped):
        run_job(path, stop_at=131)
    text = (tmp_path / "poems.job").read_text(encoding="utf-8")
    indices = [int(line.split(",")[0].split()[-1]) for line in text.splitlines()]
    assert max(indices) >= 126


def test_failed_poems_of_a_job_are_told_by_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PoetgenError):
        run_job(None, num_lines=4, num=2)
    said = capsys.readouterr().err
    assert "line 4, poem 1: a dead end\n" in said


def test_a_job_of_bad_lines_alone_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    path.write_text("old")

    def refuse(_: Options) -> Request:
        raise ConstraintError("no", "Ask for less.")

    for job in (None, {"x": 1}):
        with (
            pytest.raises(PoetgenError, match="2 lines could not be used"),
            open_output(path, 1, job) as output,
        ):
            write_job(
                Job([b"{}", b"{}"], 1, Options(), refuse, lambda _: None), make, page(), output
            )
        assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["poems"]


@pytest.mark.parametrize("lines", [[], [b"\n", b"  \n"], [b"\n"] * 1000], ids=len)
@pytest.mark.parametrize("job", [None, {"x": 1}])
def test_no_prompts_leave_the_old_output(
    tmp_path: Path, job: dict[str, int] | None, lines: list[bytes]
) -> None:
    path = tmp_path / "poems"
    path.write_text("old")
    prepare = lambda _: Request(1)  # noqa: E731
    with (
        pytest.raises(UsageError, match="no line asks for a poem") as caught,
        open_output(path, 1, job) as output,
    ):
        write_job(Job(lines, 1, Options(), prepare, lambda _: None), make, page(), output)
    assert "{}" in caught.value.fix
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems"]


def test_a_job_with_failures_says_how_to_get_the_others_again() -> None:
    with pytest.raises(PoetgenError) as caught:
        run_job(None, num_lines=4, num=2, seed=5)
    assert caught.value.fix.startswith("Correct those lines and run it again with --seed 5: ")
