"""`poetgen train`."""

from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli.boundary import tell


def train(
    config: Annotated[
        str | None,
        typer.Option(
            help="base (the default), tiny, large, gru, rnn, char-rnn, pretrain, tang, finetune, or a YAML "
            "file."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value; repeatable."),
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder of poems (JSON, JSONL, or text with a poem a line), or `starter`; "
            "repeatable. Default: the config's, $POETGEN_CORPUS, data/tang (fetched if missing)."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the run, a folder in checkpoints/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run: --run, or the newest.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin a run of that name anew, deleting the old one.")
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from this model (a file, a run folder, a run's name), its vocabulary extended; "
            "the default of --config is then finetune.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train a model.

    Ctrl-C saves and stops; `--resume` goes on from there.
    """
    from poetgen.model.device import choose_device
    from poetgen.training.plan import plan_run
    from poetgen.training.run import train as train_run

    target = choose_device(device)  # before anything is fetched
    plan = plan_run(
        config,
        overrides or [],
        corpus or [],
        run=run,
        resume=resume,
        fresh=fresh,
        init=init,
        tell=tell,
    )
    result = train_run(
        plan.config,
        plan.corpus,
        plan.folder,
        resume=resume,
        fresh=fresh,
        device=target,
        tell=tell,
    )
    typer.echo(str(result.folder.best))
