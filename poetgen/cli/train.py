"""`poetgen train`."""

from typing import Annotated

import typer

from poetgen.cli.options import CorpusOption, DeviceOption, SetOption


def train(
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="base (the default), tiny, large, gru, rnn, char-rnn, pretrain, tang, finetune, or a YAML "
            "file.",
        ),
    ] = None,
    overrides: SetOption = None,
    corpus: CorpusOption = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the run, a folder in checkpoints/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run: --run, or the newest.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run of that name.")
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from this model (a file, a run folder or a run); --config defaults to finetune.",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a model.

    Ctrl-C saves and stops; `--resume` continues from there.
    """
    from poetgen.model.network import choose_device
    from poetgen.training.loop import train as train_run
    from poetgen.training.prepare import TrainOptions, prepare

    torch_device = choose_device(device)  # fails before anything is fetched
    options = TrainOptions(config, overrides or (), corpus or (), run, resume, overwrite, init)
    plan = prepare(options)
    train_run(plan, torch_device)
    typer.echo(str(plan.run.best))
