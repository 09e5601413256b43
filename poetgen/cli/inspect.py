"""`poetgen inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.cli.boundary import tell
from poetgen.errors import UsageError

if TYPE_CHECKING:
    from poetgen.inspection.verse import Inquiry, Verse
    from poetgen.model.store import StoredModel
    from poetgen.sampling.request import Settings

_ENDINGS = (".html", ".png", ".svg")


def inspect(
    text: Annotated[
        str | None, typer.Argument(help="A verse, or its beginning with --continue.")
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Have the model write on, and look at the whole.")
    ] = False,
    gradients: Annotated[
        bool,
        typer.Option(
            "--gradients",
            help="Show how far back a gradient reaches, in this model and in fresh ones of each cell; "
            "without TEXT, on poems of the model's own.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write a page (.html: heat maps, animation, what if a gate were shut) or a figure "
            "(.png, .svg: needs matplotlib) to this file too."
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="For what the model writes; 0: always the likeliest character.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(help="For what the model writes.")] = 1,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="With --gradients, another trained model to set beside it, of cell gru or rnn for "
            "instance; repeatable.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="A model file, a run folder, a run's name, or tang, the model that ships. "
            "Default: $POETGEN_CHECKPOINT, the newest run, the model that ships."
        ),
    ] = None,
) -> None:
    """Look into the model while it reads a verse: surprise, what it expects, gates and cells.

    A row per character. A page (--output gates.html) shows each unit and needs no network.
    """
    from poetgen.model.locate import find_model, model_name
    from poetgen.sampling.request import Settings, check_settings

    settings = check_settings(Settings(temperature))
    _check(text, go_on, gradients, output, against)
    choice = find_model(checkpoint)
    tell(f"model {choice.path} ({choice.why})")
    from poetgen.model.store import load_model

    stored = load_model(choice.path)
    if gradients:
        models = [(model_name(choice.path), stored)]
        for name in against or []:
            path = find_model(name).path
            tell(f"against {path}")
            models.append((model_name(path), load_model(path)))
        _show_gradients(models, text, seed, settings, output)
        return
    assert text is not None
    from poetgen.inspection.verse import Inquiry
    from poetgen.sampling.prompt import prepare_prompt

    prompt = prepare_prompt(text, stored.vocab)
    for warning in prompt.warnings:
        tell(f"warning: {warning}")
    _show_verse(stored, Inquiry(prompt, seed, settings), go_on, output)


def _check(
    text: str | None,
    go_on: bool,
    gradients: bool,
    output: Path | None,
    against: list[str] | None,
) -> None:
    from poetgen.data.normalise import normalise
    from poetgen.data.poem import MARKS

    if text is None and not gradients:
        raise UsageError("there is no verse to inspect", "Give one, such as 床前明月光。")
    if text is not None and not normalise(text).strip(MARKS):
        raise UsageError(
            f"there is no character in the verse “{text}”", "Give a verse, such as 床前明月光。"
        )
    if gradients and go_on:
        raise UsageError("--continue and --gradients do not go together", "Leave one of them out.")
    if against and not gradients:
        raise UsageError("--against goes with --gradients alone", "Add --gradients.")
    if output is not None:
        _check_output(output, with_characters=not gradients)


def _check_output(output: Path, *, with_characters: bool) -> None:
    """Say before the work is done what a figure lacks, or that it cannot be written."""
    from poetgen.files import check_writable
    from poetgen.inspection import plot

    if output.suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"{output} ends in none of {' '.join(_ENDINGS)}",
            "Name a page, such as gates.html, or a figure, such as gates.png.",
        )
    if output.suffix.lower() != ".html":
        if with_characters:
            plot.chinese_font()
        else:
            plot.new_figure(1, 1)
    check_writable(output)


def _show_verse(
    stored: "StoredModel", inquiry: "Inquiry", go_on: bool, output: Path | None
) -> None:
    from rich.console import Console

    from poetgen.inspection.gates import no_gates
    from poetgen.inspection.render import verse_notes, verse_tables
    from poetgen.inspection.verse import inspect_text

    verse, inquiry = inspect_text(stored, inquiry, go_on=go_on)
    if stored.model.cell != "lstm":
        tell("note: {}. {}".format(*no_gates(stored.model.cell)))
    console = Console(highlight=False, markup=False)
    console.print(verse.poem.laid_out(), end="\n\n")
    for table in verse_tables(verse, width=console.width):
        console.print(table)
        console.print()
    console.print("\n\n".join(verse_notes(verse)))
    if output is not None:
        _write_verse(stored, verse, inquiry, output)


def _write_verse(stored: "StoredModel", verse: "Verse", inquiry: "Inquiry", output: Path) -> None:
    from tqdm import tqdm

    from poetgen.files import write_text
    from poetgen.inspection import plot
    from poetgen.inspection.page import verse_page
    from poetgen.inspection.verse import hold_each_gate, num_held, writing
    from poetgen.model.locate import model_name

    if output.suffix.lower() != ".html":
        plot.save_figure(plot.verse_figure(verse), output)
    else:
        runs = hold_each_gate(stored, verse.text, inquiry)
        page = verse_page(
            verse,
            model=model_name(stored.path) if stored.path else "",
            cell=stored.model.cell,
            inquiry=inquiry,
            writing=writing(stored, inquiry),
            held=tqdm(runs, total=num_held(stored), unit=" runs", leave=False, disable=None),
        )
        write_text(output, page)
    tell(f"wrote {output}")


def _show_gradients(
    models: "list[tuple[str, StoredModel]]",
    text: str | None,
    seed: int,
    settings: "Settings",
    output: Path | None,
) -> None:
    from rich.console import Console

    from poetgen.files import write_text
    from poetgen.inspection import plot
    from poetgen.inspection.gradients import check_length, compare, own_texts
    from poetgen.inspection.page import gradient_page
    from poetgen.inspection.render import gradient_table
    from poetgen.sampling.prompt import prepare_prompt, warn_of_unknown

    _, first = models[0]
    if text is None:
        texts = own_texts(first, seed, settings)
        on = f"{len(texts)} poems of its own, {len(texts[0])} characters each"
    else:
        texts = [prepare_prompt(text, first.vocab).text]
        check_length(texts[0])
        on = texts[0]
    for name, stored in models:
        for warning in warn_of_unknown("".join(texts), stored.vocab):
            tell(f"warning: {name}: {warning}")
    reaches = compare(models, texts)
    console = Console(highlight=False, markup=False)
    console.print(f"On: {on}")
    console.print(
        "Gradient of the last character's loss at a model's whole state (an LSTM's hidden states and "
        "cells, else the hidden states, of all layers), some steps back, relative to that at the last "
        "step; a mean over poems.\n"
    )
    console.print(gradient_table(reaches, width=console.width))
    if output is None:
        return
    if output.suffix.lower() == ".html":
        write_text(output, gradient_page(reaches, on=on))
    else:
        plot.save_figure(plot.reach_figure(reaches), output)
    tell(f"wrote {output}")
