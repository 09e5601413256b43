"""Help texts and Typer's own errors, in the language of the user.

Help is declared in English where an option is declared; here it is translated while it is shown.  An
error of Typer's parser becomes one line why and one line what to do, like every other error.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from poetgen.language import current_language, tr

if TYPE_CHECKING:
    from typer import Context


class _InLanguage:
    """Help in the current language, for Typer's commands and groups."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with _presented(self, ctx):
            super().format_help(ctx, formatter)  # type: ignore[misc]

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix=tr("Usage: "))


class Command(_InLanguage, TyperCommand):
    """A command whose help is shown in the current language."""


class Group(_InLanguage, TyperGroup):
    """A group of commands whose help is shown in the current language."""


def help_text(text: str) -> str:
    r"""Return a help text as the catalogue has it: a line per paragraph.

    >>> help_text("Generate poems.\n\n    Poems go to\n    standard output.")
    'Generate poems.\n\nPoems go to standard output.'
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def explain(error: TyperException) -> tuple[str, str]:
    """Return why the arguments were refused, and what to do."""
    given: Any = error  # of a class that typer does not export
    context: Any = getattr(error, "ctx", None)
    fix = tr("See {command} --help.", command=context.command_path if context else "poetgen")
    if given.__class__.__name__ == "NoSuchOption":
        return tr("there is no option {name}", name=given.option_name), _guess(
            get_close_matches(given.option_name, given.possibilities or [], n=1), fix
        )
    if unknown := re.match("No such command '(.*?)'", error.format_message()):
        near = get_close_matches(unknown[1], list(context.command.commands), n=1)
        return tr("there is no command {name}", name=unknown[1]), _guess(near, fix)
    if given.__class__.__name__ == "MissingParameter":
        return tr("{name} is missing", name=given.param.get_error_hint().strip("'")), fix
    why = next(
        (
            explanation(found)
            for pattern, explanation in _EXPLANATIONS.items()
            if (found := re.search(pattern, error.message, re.DOTALL))
        ),
        error.message.rstrip("."),
    )
    if given.__class__.__name__ == "BadParameter" and given.param is not None:
        name = given.param.opts[0]
        why = tr("the value of {name} is invalid: {why}", name=name, why=why)
    return why, fix


_EXPLANATIONS: dict[str, Callable[[re.Match[str]], str]] = {
    "valid integer": lambda _: tr("expected a whole number"),
    "valid number": lambda _: tr("expected a number"),
    "('.*') is not one of ('.*')": lambda found: tr(
        "{value} is not one of {choices}", value=found[1], choices=found[2]
    ),
    r"greater than or equal to (\S+)": lambda found: tr("expected {low} or more", low=found[1]),
    r"less than or equal to (\S+)": lambda found: tr("expected {high} or less", high=found[1]),
    "Option '(.*)' requires an argument": lambda found: tr("{name} needs a value", name=found[1]),
    "Option '(.*)' does not take a value": lambda found: tr("{name} takes no value", name=found[1]),
    r"extra argument\S* \((.*)\)": lambda found: tr("unexpected: {words}", words=found[1]),
}
"""Patterns of the parser's messages, and the message to print for each."""


def _guess(names: list[str], fix: str) -> str:
    return tr("Did you mean {names}?", names=", ".join(sorted(names))) if names else fix


@contextmanager
def _presented(command: Any, ctx: "Context") -> Iterator[None]:
    """Translate what Typer shows in the help of `command`, until the help has been shown."""
    from rich.text import Text
    from typer import rich_utils

    params = command.get_params(ctx)
    wrap = Text.wrap

    def folded(text: Text, *arguments: Any, **options: Any) -> Any:
        return wrap(text, *arguments, **{**options, "overflow": "fold"})

    # Rich breaks lines at spaces only, and would replace the rest of a Chinese text by an ellipsis.
    changes: list[tuple[Any, str, Any]] = [(Text, "wrap", folded)]
    changes += [(param, "metavar", "") for param in params if getattr(param, "is_flag", False)]
    if current_language() != "en":
        texts = [(param, key) for param in params for key in ("help", "rich_help_panel")]
        texts += [(one, "help") for one in (command, *getattr(command, "commands", {}).values())]
        found = ((owner, name, getattr(owner, name, None)) for owner, name in texts)
        changes += [(owner, name, tr(help_text(text))) for owner, name, text in found if text]
        examples = re.findall("`(.*?)`", command.epilog or "")
        epilog = "\n\n".join(tr("Example: `{command}`", command=one) for one in examples)
        changes += [
            (command, "epilog", epilog),
            (rich_utils, "ARGUMENTS_PANEL_TITLE", tr("Arguments")),
            (rich_utils, "OPTIONS_PANEL_TITLE", tr("Options")),
            (rich_utils, "COMMANDS_PANEL_TITLE", tr("Commands")),
            (rich_utils, "DEFAULT_STRING", tr("[default: {}]")),
            (rich_utils, "REQUIRED_LONG_STRING", tr("[required]")),
        ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
