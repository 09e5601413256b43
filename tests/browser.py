"""Drives headless Chromium, where it is installed: opens a page, runs a script, takes a screenshot.

The page is in a frame of the requested width, because Chromium's windows are at least 500 pixels wide.
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
MIN_WIDTH = 500
_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe src="framed.html" width="{width}" height="{height}" style="border:0;display:block"></iframe>
<pre id="reported"></pre>
<script>
  addEventListener("message", (event) => {{
    document.getElementById("reported").textContent = event.data;
  }});
</script>"""
# First in the page, so that early errors count too.
_WATCH = """<script>
  const faults = [];
  addEventListener("error", (event) => faults.push(event.message));
  addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
  const report = (value) => parent.postMessage(JSON.stringify(value), "*");
</script>"""


def find() -> str:
    """Return the path of Chromium; skip the test where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


def _open(page: str, folder: Path, width: int, height: int, *options: str) -> str:
    """Return what Chromium prints; fail if the page logs to the console."""
    browser = find()
    (folder / "framed.html").write_text(page, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_FRAME.format(width=width, height=height), encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",  # required for root, as in a container
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={max(width, MIN_WIDTH)},{height}",
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


def drive(
    page: str, script: str, folder: Path, *, width: int, is_dark: bool = False
) -> dict[str, Any]:
    """Run `script` in the loaded `page` and return the value that it passes to `report`."""
    page = page.replace("<head>", "<head>" + _WATCH, 1)
    page = page.replace("</body>", f"<script>{script}</script></body>", 1)
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    dom = _open(page, folder, width, 844, scheme, "--virtual-time-budget=20000", "--dump-dom")
    found = re.search(r'<pre id="reported">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    value = json.loads(unescape(found[1]))
    assert isinstance(value, dict)
    return value


def screenshot(page: str, path: Path, *, width: int, height: int) -> None:
    """Save a screenshot of `page`, at least `MIN_WIDTH` wide."""
    options = ("--virtual-time-budget=3000", f"--screenshot={path}")
    _open(page, path.parent, width, height, *options)
