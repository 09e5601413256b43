"""`poetgen train`."""

import logging
import shlex
from time import monotonic
from typing import Annotated

import typer

from poetgen.cli import completion
from poetgen.cli.options import CorpusOption, DeviceOption, SetOption
from poetgen.errors import PoetgenError
from poetgen.language import tr
from poetgen.terminal import for_stdout

logger = logging.getLogger(__name__)


def train(
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            autocompletion=completion.configurations,
            metavar="NAME|FILE",
            help="base (the default), tiny, large, gru, rnn, char-rnn, pretrain, tang, finetune, or a YAML "
            "file. `poetgen config NAME` prints it.",
        ),
    ] = None,
    overrides: SetOption = None,
    corpus: CorpusOption = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.runs,
            help="Name of the run, a folder in checkpoints/. Default: the configuration and the time.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a run: --run NAME, or the newest.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run of that name.")
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.models,
            help="Start from this model: a file, a run folder or the name of a run. --config then "
            "defaults to finetune.",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a model and print its path.

    Ctrl-C saves and stops; --resume continues. `poetgen plot` draws the curves of a run.
    """
    from poetgen.model.network import choose_device
    from poetgen.progress import format_duration
    from poetgen.training.history import perplexity
    from poetgen.training.loop import train as train_run
    from poetgen.training.prepare import TrainOptions, prepare

    start = monotonic()
    torch_device = choose_device(device)  # fails before anything is fetched
    options = TrainOptions(config, overrides or (), corpus or (), run, resume, overwrite, init)
    plan = prepare(options)
    progress = train_run(plan, torch_device)
    if progress.best_nats_per_token is None:
        raise PoetgenError(
            tr("no epoch of run {run} had a finite validation loss", run=plan.run.name),
            tr(
                "Restart it with --overwrite and a lower learning rate: --set train.learning_rate=…"
            ),
        )
    logger.info(
        tr(
            "run {folder}: best validation perplexity {perplexity:,.1f} (epoch {epoch}), {time}",
            folder=plan.run.path,
            perplexity=perplexity(progress.best_nats_per_token),
            epoch=progress.best_epoch,
            time=format_duration(monotonic() - start),
        )
    )
    name = shlex.quote(plan.run.name)
    logger.info(tr("next: {command}", command=f"poetgen sample --model {name}"))
    typer.echo(for_stdout(str(plan.run.best)))
