"""Write the pages of docs/reference that follow from the code: commands, configuration, Python, JSON.

The texts are the help texts of the command line, the descriptions of the configuration keys, and the
docstrings of the public classes.  In json.md, which is written by hand, only the text below a comment such
as <!-- from poetgen.views.scansion.to_json --> is a docstring.  With --check, write nothing and exit with 1
if a page is out of date.
"""

import argparse
import ast
import difflib
import enum
import functools
import html
import inspect
import os
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

os.environ["POETGEN_LANGUAGE"] = "en"  # before the help texts are made

import typer

import poetgen
import poetgen.errors
from poetgen.cli.main import make_app
from poetgen.config import Config, describe
from poetgen.files import write_text
from poetgen.language import set_language
from poetgen.sampling.options import field_docs

app = make_app()

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by scripts/make_reference.py from the code; do not edit. -->\n"

COMMANDS_HEAD = f"""\
{MADE}
# Commands

`poetgen COMMAND --help` prints what this page lists. Results go to standard output, everything else to
standard error. An error is reported in two lines: why it happened, and what to do.

| exit code | meaning |
|---|---|
| 0 | Done; also if the reader of a pipe stopped reading. |
| 1 | It could not be done: a file, a model, a corpus, the network; or some poems of a job failed. |
| 2 | The call is wrong: an option, a configuration, a prompt without any known character. |
| 3 | A constraint cannot be met; standard output is empty. |
| 130 | Interrupted with Ctrl-C. |
| 143 | Terminated with SIGTERM. |

[Environment variables](environment.md) set defaults; [JSON output](json.md) lists the keys of `--json`
and of JSON Lines.
"""

CONFIGURATION_HEAD = f"""\
{MADE}
# Configuration

A configuration has four sections. Values come from the defaults below, then from a YAML file
(`--config NAME|FILE`), then from `--set SECTION.KEY=VALUE`. `poetgen config [NAME]` prints a resolved
configuration with these descriptions: `poetgen config base > mine.yaml`, edit it, then
`poetgen train --config mine.yaml`. A wrong key or value is reported with its path, what was expected,
and the nearest valid key.
"""

API_HEAD = f"""\
{MADE}
# Python

```python
import poetgen

poet = poetgen.load()  # the newest run, or the bundled model; or a path, the name of a run, "tang"
for poem in poet.sample("床前", num=3, temperature=0.8, seed=1):
    print(poem.lines)
for character in poet.stream("明月", seed=2):
    print(character, end="", flush=True)
print(poet.score("床前明月光，疑是地上霜。举头望明月，低头思故乡。").perplexity)
```

Nothing is printed: remarks go to the logger `poetgen`, warnings to `warnings`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 on drift")
    check = parser.parse_args(arguments).check
    set_language("en")
    drifted = False
    for name, make in PAGES.items():
        path, page = FOLDER / name, make()
        if not check:
            write_text(path, page)
            continue
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        difference = difflib.unified_diff(
            old.splitlines(), page.splitlines(), str(path), "from the code", lineterm="", n=0
        )
        for line in difference:
            print(line, file=sys.stderr)
            drifted = True
    if drifted:
        print("docs/reference is out of date\n  → Run: make reference", file=sys.stderr)
    return int(drifted)


def commands_page() -> str:
    """Return the reference of the command line: usage, arguments, options and examples."""
    root = typer.main.get_command(app)
    parts = [COMMANDS_HEAD, _parameter_table("Options of `poetgen`", root.params, root.callback)]
    for name, command in _walk(root):
        parts.append(f"## poetgen {name}\n\n{_text(command.help)}")
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        usage = "".join(f" {_argument(one)}" for one in arguments)
        parts.append(f"```text\npoetgen {name} [OPTIONS]{usage}\n```")
        panels: dict[str, list[Any]] = {"Arguments": []} if arguments else {}
        for one in command.params:
            if not getattr(one, "hidden", False):
                heading = "Arguments" if one in arguments else one.rich_help_panel or "Options"
                panels.setdefault(heading, []).append(one)
        parts += [_parameter_table(*panel, command.callback) for panel in panels.items()]
        examples = re.findall(r"`(poetgen [^`]*)`", command.epilog or "")
        if examples:
            lines = "\n".join(examples)
            parts.append(f"Examples:\n\n```sh\n{lines}\n```")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _walk(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group, those of groups within it too, by name."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _walk(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _parameter_table(heading: str, parameters: Sequence[Any], callback: Any) -> str:
    hints = _hints(callback) if callback else {}
    rows = []
    for one in parameters:
        hint = hints.get(one.name)
        if one.param_type_name == "argument":
            names = f"`{one.metavar or one.name.upper()}`"
        else:
            value = "" if one.is_flag else f" {one.metavar or _value(hint)}"
            flags = [*one.opts, *one.secondary_opts]
            names = ", ".join(f"`{flag}{value}`" for flag in flags)
        shown = "required" if one.required else _default(one.default)
        rows.append(_row(names, shown, _text(one.help)))
    head = ["| name | default | description |", "|---|---|---|"]
    return "\n".join([f"**{heading}**\n", *head, *rows])


def _value(hint: Any) -> str:
    """Return a placeholder for the value of an option by its type."""
    for inner in (one for one in get_args(hint) if one is not type(None)):
        return _value(inner) if get_origin(hint) is not Literal else "|".join(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "|".join(one.value for one in hint)
    return {int: "N", float: "X", Path: "PATH"}.get(hint, "TEXT")


def _default(value: Any) -> str:
    """Return a default as it is typed; nothing where there is none or the text names it."""
    if value in (None, "", [], ()) or value is False:
        return ""
    if isinstance(value, enum.Enum):
        value = value.value
    return f"`{value}`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _text(text: str | None) -> str:
    return textwrap.dedent(text or "").strip()


def _cell(text: str) -> str:
    r"""Return text as the cell of a table.

    A bar in code is an entity: for one reader of Markdown `\|` is a bar there, for another two characters.

    >>> _cell("one\n  line, `a|b`")
    'one line, <code>a&#124;b</code>'
    """

    def code(match: re.Match[str]) -> str:
        span = html.escape(match.group(1), quote=False).replace("|", "&#124;")
        return f"<code>{span}</code>"

    return re.sub(r"`([^`]*\|[^`]*)`", code, " ".join(text.split())).replace("|", "\\|")


def configuration_page() -> str:
    """Return the reference of the configuration: a table per section."""
    parts = [CONFIGURATION_HEAD]
    for section, values in Config().model_dump().items():
        doc = type(getattr(Config(), section)).__doc__
        rows = [f"## {section}\n\n{doc}\n", "| key | default | description |", "|---|---|---|"]
        rows += [
            _row(f"`{key}`", _yaml(values[key]), description)
            for key, description in describe(section).items()
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _yaml(value: object) -> str:
    if value in ("", []):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def api_page() -> str:
    """Return the reference of the public names: signatures and docstrings."""
    parts = [API_HEAD]
    for name, thing in public_names().items():
        if inspect.isclass(thing):
            parts += _class_parts(name, thing)
        else:
            parts += [f"## {name}", _signature(name, thing), _docstring(thing)]
    parts.append(
        "## Errors\n\nAll are in `poetgen.errors`; `exit_code` is that of the command line."
    )
    errors = [
        one
        for one in vars(poetgen.errors).values()
        if inspect.isclass(one) and issubclass(one, poetgen.errors.PoetgenError)
    ]
    rows = [
        _row(
            f"`{one.__name__}`",
            f"`{one.__base__.__name__}`",
            str(one.exit_code),
            _paragraphs(one)[0],
        )
        for one in errors
        if one.__base__ is not None
    ]
    parts.append(
        "\n".join(["| error | child of | exit code | description |", "|---|---|---:|---|", *rows])
    )
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def public_names() -> dict[str, Any]:
    """Return the public functions and classes: those of `poetgen.__all__` and what they lead to."""
    from poetgen.api import Poet
    from poetgen.data.poem import Poem
    from poetgen.engine.scoring import Likelihood
    from poetgen.sampling.generator import Failure, Sample
    from poetgen.sampling.options import Options

    names: dict[str, Any] = {"poetgen.load": poetgen.load}
    for thing in (Poet, Options, Poem, Sample, Failure, Likelihood):
        is_exported = thing.__name__ in poetgen.__all__
        names[f"{'poetgen' if is_exported else thing.__module__}.{thing.__name__}"] = thing
    for name in poetgen.__all__:
        exported = getattr(poetgen, name)
        is_error = inspect.isclass(exported) and issubclass(exported, poetgen.errors.PoetgenError)
        if callable(exported) and not is_error:  # errors have their own table
            names.setdefault(f"poetgen.{name}", exported)
    return names


def _class_parts(name: str, cls: type) -> Iterator[str]:
    """Yield a class: its docstring, its fields, its properties and its methods."""
    yield f"## {name}"
    yield _docstring(cls)
    hints = _hints(cls)
    texts = field_docs(cls)
    rows = [
        _row(f"`{name}`", f"`{_type(hint)}`", _field_default(cls, name), texts.get(name, ""))
        for name, hint in hints.items()
        if not name.startswith("_")
    ]
    for name, value in vars(cls).items():
        if isinstance(value, (property, functools.cached_property)) and not name.startswith("_"):
            getter = value.fget if isinstance(value, property) else value.func
            returned = _type(_hints(getter).get("return", ""))
            rows.append(_row(f"`{name}`", f"`{returned}`", "", inspect.getdoc(value) or ""))
    if rows:
        yield "\n".join(
            ["| attribute | type | default | description |", "|---|---|---|---|", *rows]
        )
    for name, value in vars(cls).items():
        is_method = inspect.isfunction(value) or isinstance(value, (classmethod, staticmethod))
        if is_method and not name.startswith("_"):
            method = getattr(cls, name)
            yield f"### {cls.__name__}.{name}"
            yield _signature(f"{cls.__name__}.{name}", method)
            yield _docstring(method)


def _hints(thing: Any) -> dict[str, Any]:
    """Return the types of attributes or parameters; as written where a type is for checkers only."""
    try:
        return get_type_hints(thing)
    except NameError:
        return dict(thing.__annotations__)


def _field_default(cls: type, field: str) -> str:
    default = getattr(cls, field, inspect.Parameter.empty)
    if default is inspect.Parameter.empty or inspect.ismemberdescriptor(default):
        return ""
    return f"`{default!r}`"


def _signature(name: str, function: Callable[..., object]) -> str:
    """Return the signature as a block of Python, one parameter per line where it is long."""
    signature = inspect.signature(function)
    short = _without_modules(f"{name}{signature}")
    if len(short) > 88:
        parameters = list(signature.parameters.values())
        lines, was_keyword_only = [], False
        for one in parameters:
            if one.kind is one.KEYWORD_ONLY and not was_keyword_only:
                lines.append("    *,")
                was_keyword_only = True
            lines.append(f"    {one},")
        returns = signature.return_annotation
        arrow = "" if returns is signature.empty else f" -> {_type(returns)}"
        short = _without_modules("\n".join([f"{name}(", *lines, f"){arrow}"]))
    return f"```python\n{short}\n```"


def _without_modules(text: str) -> str:
    """Return a signature with short names of classes, and forward references without quotes."""
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text).replace("'", '"')
    return re.sub(r'(: |-> )"([^"]+)"', r"\1\2", text)


def _type(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(map(_type, get_args(hint)))
    if hint is type(None):
        return "None"
    if isinstance(hint, str):
        return hint
    return _without_modules(
        hint.__name__ if inspect.isclass(hint) and not get_args(hint) else str(hint)
    )


def _paragraphs(thing: object) -> list[str]:
    return (inspect.getdoc(thing) or "").split("\n\n")


def _docstring(thing: object) -> str:
    """Return a docstring as Markdown: code in blocks, and a list of what is raised."""
    parts = []
    for paragraph in _paragraphs(thing):
        head, _, rest = paragraph.partition("\n")
        if head in ("Raises:", "Returns:", "Yields:", "Args:"):
            items = re.split(r"\n(?=\S)", textwrap.dedent(rest))
            names = (" ".join(item.split()).partition(": ") for item in items)
            parts.append(
                f"{head}\n\n" + "\n".join(f"- `{name}`: {text}" for name, _, text in names)
            )
        elif head.startswith(">>> ") or _is_code(paragraph):
            parts.append(f"```python\n{textwrap.dedent(paragraph)}\n```")
        else:
            parts.append(paragraph)
    return "\n\n".join(parts)


def _is_code(paragraph: str) -> bool:
    """Return whether a paragraph is Python: it parses, and calls or assigns something."""
    try:
        body = ast.parse(textwrap.dedent(paragraph)).body
    except SyntaxError:
        return False
    return any(isinstance(node, (ast.Call, ast.Assign)) for one in body for node in ast.walk(one))


def json_page() -> str:
    """Return the page on JSON output with its docstrings written again."""
    text = (FOLDER / "json.md").read_text(encoding="utf-8")

    def block(match: re.Match[str]) -> str:
        paragraphs = _paragraphs(pkgutil.resolve_name(match.group("name")))[1:]
        # A star is a star, and long lines of a list item are indented by two spaces.
        body = "\n\n".join(paragraphs).replace("`*", "`\\*")
        body = re.sub(
            r"^ +", "  ", re.sub(r"^[*-] +", "- ", body, flags=re.MULTILINE), flags=re.MULTILINE
        )
        return f"{match.group('start')}\n\n{body.strip()}\n\n{match.group('end')}"

    return _BLOCK.sub(block, text)


_BLOCK = re.compile(r"(?P<start><!-- from (?P<name>[\w.]+) -->).*?(?P<end><!-- end -->)", re.DOTALL)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "configuration.md": configuration_page,
    "api.md": api_page,
    "json.md": json_page,
}
"""File in docs/reference → function that makes it."""


if __name__ == "__main__":
    raise SystemExit(main())
