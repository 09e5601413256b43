"""Check the links of all Markdown files: relative links and their anchors, and the form of other links.

Nothing is requested from the network.  Exits with 1 if a link is broken, and prints each with its file.
"""

import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent

_CODE = re.compile(r"^(```+|~~~+).*?^\1\s*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def markdown_files(root: Path) -> list[Path]:
    """Return the Markdown files of the repository; folders that tools and runs fill are left out."""
    folders = (root / name for name in ("docs", ".github"))
    return sorted([*root.glob("*.md"), root / "data" / "README.md"]) + sorted(
        file for folder in folders for file in folder.rglob("*.md")
    )


def broken_links(file: Path) -> Iterator[str]:
    """Yield the links of a file that lead nowhere, each with the reason."""
    text = _CODE.sub("", file.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        reason = _fault(file, target)
        if reason:
            yield f"{target}: {reason}"


def anchors(text: str) -> set[str]:
    r"""Return the anchors of the headings of a Markdown text, as GitHub makes them.

    >>> sorted(anchors("# How to\n## JSON of `eval`\n## 中文，简介\n## How to"))
    ['how-to', 'how-to-1', 'json-of-eval', '中文简介']
    """
    found: set[str] = set()
    counts: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = "".join(
            "-" if c == " " else c
            for c in shown
            if c in " -_" or unicodedata.category(c)[0] in "LNM"
        )
        number = counts.get(slug, 0)
        counts[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def _fault(file: Path, target: str) -> str:
    """Return what is wrong with a link, or nothing."""
    parts = urlsplit(target)
    if parts.scheme:
        is_valid = parts.scheme in ("https", "http", "mailto") and (parts.netloc or parts.path)
        return "" if is_valid else "not a valid address"
    path = file.parent / unquote(parts.path) if parts.path else file
    if not path.exists():
        return "there is no such file"
    if parts.fragment and path.suffix == ".md":
        names = anchors(path.read_text(encoding="utf-8"))
        return "" if unquote(parts.fragment) in names else "there is no such heading"
    return ""


def main(root: Path = ROOT) -> int:
    """Print the broken links of all files; return the exit code."""
    broken = [
        f"{file.relative_to(root)}: {fault}"
        for file in markdown_files(root)
        for fault in broken_links(file)
    ]
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
