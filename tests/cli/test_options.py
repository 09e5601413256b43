"""Options of the command line that derive from `Options`."""

import inspect

from typer.testing import CliRunner

from poetgen.cli.main import make_app
from poetgen.cli.options import takes_sampling_options
from poetgen.cli.sample import sample as sample_command
from poetgen.sampling.options import Options, declared_options, field_docs

app = make_app()


def test_sample_command_has_every_declared_option() -> None:
    parameters = inspect.signature(sample_command).parameters
    assert list(parameters)[: len(declared_options())] == list(declared_options())
    for name in declared_options():
        assert parameters[name].default == getattr(Options(), name), name


def test_sample_help_has_every_declared_option() -> None:
    result = CliRunner().invoke(app, ["sample", "--help"], env={"COLUMNS": "400"})
    assert result.exit_code == 0
    texts = field_docs(Options)
    rows = {
        words[0]: " ".join(words)
        for line in result.stdout.splitlines()
        if (words := line.strip("│ ").split())
    }
    for name, option in declared_options().items():
        flag = name if name == "prompt" else f"--{name.replace('_', '-')}"
        assert texts[name] in rows[flag]
        assert option.short in rows[flag].split() or not option.short
        assert option.group in result.stdout or name == "prompt"


def test_takes_sampling_options_passes_options() -> None:
    calls = []

    @takes_sampling_options
    def command(options: Options, extra: bool = False) -> None:
        calls.append((options, extra))

    values = {name: getattr(Options(), name) for name in declared_options()}
    command(**{**values, "prompt": "山", "top_k": 3}, extra=True)
    assert calls == [(Options("山", top_k=3), True)]
    *_, last = inspect.signature(command).parameters.values()
    assert (last.name, last.default) == ("extra", False)
