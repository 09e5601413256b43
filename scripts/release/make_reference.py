"""Write docs/configuration.md, the reference of all configuration keys."""

import sys
from pathlib import Path

from poetgen.config import Config, describe
from poetgen.files import write_text

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
HEAD = """\
# Configuration

Made by `scripts/release/make_reference.py` from the descriptions in `poetgen/config.py`; do not edit.

A configuration has four sections. Values come from the defaults below, then from a YAML file
(`--config NAME|FILE`), then from `--set SECTION.KEY=VALUE`. `poetgen config [NAME]` prints a resolved
configuration with these descriptions: `poetgen config base > mine.yaml`, edit it, then
`poetgen train --config mine.yaml`.
"""


def reference() -> str:
    """Return the Markdown text: a table per section."""
    parts = [HEAD]
    for section, values in Config().model_dump().items():
        doc = type(getattr(Config(), section)).__doc__
        rows = [f"## {section}\n\n{doc}\n", "| key | default | description |", "|---|---|---|"]
        rows += [
            f"| `{key}` | {_default(values[key])} | {description} |"
            for key, description in describe(section).items()
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _default(value: object) -> str:
    if value in ("", []):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    write_text(REFERENCE, reference())
    print(f"wrote {REFERENCE}", file=sys.stderr)
