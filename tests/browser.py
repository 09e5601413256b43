"""A headless Chromium, where one is installed: opens a page, runs a script in it, takes a picture.

The page stands in a frame of the width that is asked for: a window of Chromium's is 500 pixels wide
at least.
"""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NARROWEST = 500
_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe src="framed.html" width="{width}" height="{height}" style="border:0;display:block"></iframe>
<pre id="reported"></pre>
<script>
  addEventListener("message", (event) => {{
    document.getElementById("reported").textContent = event.data;
  }});
</script>"""
# Before anything else in the page, so that what goes wrong early counts too.
_WATCH = """<script>
  const faults = [];
  addEventListener("error", (event) => faults.push(event.message));
  addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
  const report = (value) => parent.postMessage(JSON.stringify(value), "*");
</script>"""


def find() -> str:
    """Its path; the test is skipped where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


def _open(page: str, folder: Path, width: int, height: int, *options: str) -> str:
    """What Chromium prints; a word on the page's console is a failure."""
    browser = find()
    (folder / "framed.html").write_text(page, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_FRAME.format(width=width, height=height), encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",  # root, as in a container, has no other way
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={max(width, NARROWEST)},{height}",
            *options,
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def drive(page: str, script: str, folder: Path, *, width: int) -> dict[str, Any]:
    """What `script`, run in `page` after it has loaded, hands to `report(value)`."""
    page = page.replace("<head>", "<head>" + _WATCH, 1)
    page = page.replace("</body>", f"<script>{script}</script></body>", 1)
    dom = _open(page, folder, width, 844, "--virtual-time-budget=20000", "--dump-dom")
    found = re.search(r'<pre id="reported">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    value = json.loads(unescape(found[1]))
    assert isinstance(value, dict)
    return value


def screenshot(page: str, picture: Path, *, width: int, height: int) -> None:
    """A picture of `page` as it opens, `NARROWEST` wide at least."""
    options = ("--virtual-time-budget=3000", f"--screenshot={picture}")
    _open(page, picture.parent, width, height, *options)
