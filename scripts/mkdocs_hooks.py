"""Hooks of mkdocs: show some Markdown files of the repository that are not in docs/ as pages of the site.

Links between these files and the pages work on the site as they do in the repository.  A link to any
other file of the repository becomes plain text: the site does not contain that file.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "data/README.md": "corpus.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Path in the repository → path on the site."""

_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links into those of the site; leave code alone."""
    source = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    texts, codes = _CODE.split(markdown), _CODE.findall(markdown)
    texts = [_LINK.sub(lambda match: _site_link(match, source), text) for text in texts]
    return "".join(part for pair in zip(texts, [*codes, ""], strict=True) for part in pair)


def _site_link(match: re.Match[str], source: str) -> str:
    text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
    if not target:
        return match.group()
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    on_site = PAGES.get(path) or (path[5:] if path.startswith("docs/") else None)
    if on_site is None:
        return text
    here = posixpath.dirname(PAGES.get(source) or source[5:])
    return f"[{text}]({posixpath.relpath(on_site, here or '.')}{anchor})"
