"""Pages: self-contained, equal to the trace, and working in a browser."""

import base64
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen import language
from poetgen.config import Config
from poetgen.inspection.ablation import ablate_gates
from poetgen.inspection.gradients import compare_gradients
from poetgen.inspection.result import Continuation, GradientComparison, GradientDecay, Trace
from poetgen.inspection.trace import continue_text, inspect_text
from poetgen.model.file import ModelBundle
from poetgen.sampling.options import Options
from poetgen.views import trace_page as page_module
from poetgen.views.trace_page import TEXTS, gradient_page, trace_page
from poetgen.views.trace_texts import EXPLANATIONS
from tests import browser
from tests.inspection.networks import bundle_with_cell

TEXT = "床前明月光，疑是地上霜。"
WIDTHS = [1280, 390]


class Elements(HTMLParser):
    """Checks that elements are closed, and collects attributes that could fetch something."""

    VOID = frozenset({"meta", "link", "input", "br", "path", "circle", "line", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetching: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.fetching += [(name, value) for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID, attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def make_page(bundle: ModelBundle, text: str = TEXT) -> tuple[str, Trace]:
    trace, options = inspect_text(bundle, text, Options(seed=1))
    page = trace_page(
        trace,
        options,
        continue_text(bundle, options),
        model="tiny",
        ablations=ablate_gates(bundle, text, options),
    )
    return page, trace


@pytest.fixture
def gates_page(tiny_model: ModelBundle) -> str:
    return make_page(tiny_model)[0]


@pytest.fixture
def gradients_page(tiny_model: ModelBundle) -> str:
    return gradient_page(compare_gradients([tiny_model], TEXT, Options()))


@pytest.mark.parametrize("name", ["gates_page", "gradients_page"])
def test_page_is_self_contained(name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page)
    assert "default-src 'none'" in page
    assert "__DATA__" not in page
    assert "__TITLE__" not in page
    elements = Elements()
    elements.feed(page)
    elements.close()
    assert elements.open == []
    assert elements.fetching == [("href", "data:,")]


def unpack(series: dict[str, Any], num_positions: int) -> NDArray[np.float64]:
    low, high = series["low"], series["high"]
    if "codes" not in series:
        assert low == high
        return np.full((num_positions, 1), low)
    codes = np.frombuffer(base64.b64decode(series["codes"]), np.uint8).reshape(num_positions, -1)
    return np.asarray(low + (high - low) * (codes / 255), np.float64)


def test_page_data_equal_trace_to_eight_bits(tiny_model: ModelBundle) -> None:
    page, trace = make_page(tiny_model)
    data = read_data(page)
    assert data["characters"] == list(trace.characters)
    assert (data["prompt"], data["seed"], data["temperature"]) == ("床前明月光，", 1, 0.8)
    first = data["runs"][0]
    for layer, series in enumerate(trace.layers):
        for name, values in series.items():
            found = unpack(first["layers"][layer][name], len(trace.characters))
            step = float(values.max() - values.min()) / 255
            np.testing.assert_allclose(found, values, rtol=0, atol=step / 2 + 1e-9)
    assert first["means"][1]["forget"] == pytest.approx(trace.mean(1, "forget"), abs=1e-4)
    assert first["nats"][1:] == pytest.approx([n for n in trace.nats if n is not None], abs=1e-3)


def test_page_ablation_omits_layers_below(gates_page: str) -> None:
    runs = read_data(gates_page)["runs"]
    assert len(runs) == 1 + 12
    upper = next(r for r in runs[1:] if (r["layer"], r["gate"], r["is_open"]) == (1, "input", True))
    assert upper["layers"][0] is None
    assert upper["layers"][1]["input"] == {"low": 1.0, "high": 1.0}
    assert set(upper["means"][1]["input"]) == {1.0}
    assert len({run["continuation"] for run in runs}) > 1


def test_page_size_limit_omits_units(
    tiny_model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(read_data(make_page(tiny_model)[0])["runs"][0]["layers"][0]["cell"]["codes"])
    monkeypatch.setattr(page_module, "MAX_BYTES", 13 * 16 * 40)
    data = read_data(make_page(tiny_model)[0])
    assert data["stride"] > 1
    assert data["num_units"] == 16
    codes = base64.b64decode(data["runs"][0]["layers"][0]["cell"]["codes"])
    assert len(codes) == 13 * -(-16 // data["stride"])
    assert len(codes) < whole


def test_page_escapes_markup(tiny_model: ModelBundle) -> None:
    trace, options = inspect_text(tiny_model, "床前", Options(seed=1))
    hostile = Continuation("</script><script>alert(1)</script>", ended=True)
    page = trace_page(trace, options, hostile, model="<b>")
    assert "<script>alert" not in page
    assert read_data(page)["runs"][0]["continuation"] == hostile.text


DRIVER = """
const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const position = () => Number($("seek").value);
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const picture = () => $("map").toDataURL();
const choose = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
(async () => {
  const found = { width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth };
  found.start = position();
  $("forward").click(); $("forward").click(); $("back").click();
  found.stepped = position();
  choose("speed", "8");
  $("play").click();
  await wait(600);
  $("play").click();
  found.played = position();
  await wait(600);
  found.paused = position();
  press("ArrowRight"); found.right = position();
  press("Home"); found.home = position();
  press("End"); found.end = position();
  press(" "); await wait(300); found.replayed = position(); press(" ");
  const space = new KeyboardEvent("keydown", { key: " ", bubbles: true, cancelable: true });
  $("forward").dispatchEvent(space);
  found.spacePresses = !space.defaultPrevented && $("play").title === "play";
  document.querySelectorAll(".tile")[3].click();
  found.tile = position();
  found.now = $("now").textContent;
  found.where = $("where").textContent;
  document.querySelectorAll(".tile")[3].focus();
  press("ArrowRight");
  found.focused = document.activeElement.firstChild.textContent;
  found.inTabOrder = [...document.querySelectorAll(".tile")].filter((tile) => tile.tabIndex === 0).length;
  press("ArrowLeft");
  found.flow = $("flow").getAttribute("aria-label");
  found.next = $("next").children.length;
  const before = picture();
  found.orders = [...$("order").options].map((o) => { choose("order", o.value); return picture(); });
  found.orders = new Set(found.orders).size;
  choose("order", "index");
  found.series = [...$("series").options].map((o) => { choose("series", o.value); return picture(); });
  found.series = new Set(found.series).size;
  choose("series", "forget"); choose("layer", "0");
  found.layerChanged = picture() !== before;
  const free = picture();
  found.continuations = {};
  for (const button of document.querySelectorAll(".choice")) {
    button.click();
    found.continuations[button.dataset.run] = $("continuation").textContent;
    if (button.getAttribute("aria-label") === "layer 1: forget gate shut") {
      found.clampedPicture = picture() !== free;
      found.clampedValue = $("value-forget").textContent;
      found.clampedShown = !$("clamped").hidden && $("chip").textContent;
    }
  }
  $("chip").click();
  found.unmodified = $("unmodified").textContent;
  found.released = $("clamped").hidden && picture() === free;
  found.overflowAfter = document.documentElement.scrollWidth - innerWidth;
  found.resources = performance.getEntriesByType("resource").map((one) => one.name);
  found.faults = faults;
  report(found);
})().catch((error) => report({ faults: [String(error.stack)] }));
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_page_controls(gates_page: str, tmp_path: Path, width: int) -> None:
    found = browser.drive(gates_page, DRIVER, tmp_path, width=width)
    assert found["faults"] == []
    assert found["resources"] == []
    assert found["width"] == width
    assert found["overflow"] <= 0
    assert found["overflowAfter"] <= 0
    assert (found["start"], found["stepped"]) == (0, 1)
    assert 3 <= found["played"] <= 6
    assert found["paused"] == found["played"]
    assert found["right"] == found["played"] + 1
    assert (found["home"], found["end"], found["tile"]) == (0, len(TEXT), 3)
    assert 1 <= found["replayed"] <= 3
    assert found["spacePresses"]
    assert re.fullmatch(r"明  \d+\.\d\d nats, layer 2", found["now"])
    assert found["where"] == f"明 · 3 of {len(TEXT)}"
    assert (found["focused"], found["inTabOrder"]) == ("月", 1)
    assert re.search(r"forget gate \d\.\d\d, input gate .* candidate -?\d", found["flow"])
    assert found["next"] == 5
    assert (found["orders"], found["series"]) == (5, 6)
    assert found["layerChanged"]
    assert found["clampedPicture"]
    assert found["clampedValue"] == "0.00"
    assert found["clampedShown"].startswith("layer 1: forget gate shut")
    assert found["released"]
    assert any(text != found["unmodified"] for text in found["continuations"].values())


@pytest.mark.parametrize("width", WIDTHS)
def test_page_screenshot(gates_page: str, tmp_path: Path, width: int) -> None:
    picture = tmp_path / f"{width}.png"
    browser.screenshot(gates_page, picture, width=width, height=1600)
    check_picture(picture, width, 1600)


def check_picture(picture: Path, width: int, height: int) -> None:
    """Check the size, and that something is drawn: an empty page compresses to less."""
    size = struct.unpack(">II", picture.read_bytes()[16:24])
    assert size == (max(width, browser.MIN_WIDTH), height)
    assert picture.stat().st_size > 30_000


def test_check_picture_refuses_empty_page(tmp_path: Path) -> None:
    picture = tmp_path / "empty.png"
    browser.screenshot("<!doctype html><head></head>", picture, width=1280, height=1600)
    with pytest.raises(AssertionError):
        check_picture(picture, 1280, 1600)


def test_drive_catches_external_requests(gates_page: str, tmp_path: Path) -> None:
    fetching = gates_page.replace(
        "<header>", '<header><img src="https://example.invalid/x.png">', 1
    )
    with pytest.raises(AssertionError, match=r"example\.invalid"):
        browser.drive(fetching, "report({ faults })", tmp_path, width=390)


LONG = "昔人已乘黄鹤去，此地空余黄鹤楼。黄鹤一去不复返，白云千载空悠悠。" * 2
assert len(LONG) == 64


@pytest.mark.parametrize("width", WIDTHS)
def test_page_layout_of_long_text(tiny_model: ModelBundle, tmp_path: Path, width: int) -> None:
    page, _ = make_page(tiny_model, LONG)
    script = """const box = (e) => e.getBoundingClientRect();
      const lines = [...document.querySelectorAll(".line")];
      const labels = [...document.querySelectorAll("#labels span")];
      report({ faults, overflow: document.documentElement.scrollWidth - innerWidth,
        broken: lines.filter((line) => new Set([...line.children].map((e) => box(e).top)).size > 1).length,
        lines: lines.length, apart: Math.min(...labels.map((e) => box(e).width)),
        note: document.getElementById("reading").textContent });"""
    found = browser.drive(page, script, tmp_path, width=width)
    assert found["faults"] == []
    assert found["overflow"] <= 0
    assert (found["lines"], found["broken"]) == (8, 0)
    assert found["apart"] >= 16
    assert "scroll sideways" in found["note"]


def test_page_flags_unknown_characters(tiny_model: ModelBundle, tmp_path: Path) -> None:
    page, _ = make_page(tiny_model, "床前明月龘。")
    script = """const flagged = [...document.querySelectorAll(".tile.unknown")];
      report({ faults, flagged: flagged.map((tile) => tile.firstChild.textContent),
        signs: document.getElementById("signs").textContent });"""
    found = browser.drive(page, script, tmp_path, width=390)
    assert found["faults"] == []
    assert found["flagged"] == ["龘"]
    assert "＾ start" in found["signs"]
    assert "dotted: not in the vocabulary" in found["signs"]


def test_gradient_page_opens(gradients_page: str, tmp_path: Path) -> None:
    script = """report({ faults, rows: document.querySelectorAll("tr").length,
      overflow: document.documentElement.scrollWidth - innerWidth,
      curves: document.querySelectorAll("polyline").length });"""
    page = gradients_page.replace("style-src", "script-src 'unsafe-inline'; style-src", 1)
    found = browser.drive(page, script, tmp_path, width=390)
    assert found == {"faults": [], "rows": 1 + 4, "overflow": 0, "curves": 2 * 4}
    picture = tmp_path / "gradients.png"
    browser.screenshot(gradients_page, picture, width=1280, height=1000)
    check_picture(picture, 1280, 1000)


def test_gradient_page_escapes_markup() -> None:
    decay = GradientDecay("<b>", "lstm", (1.0, 0.25))
    page = gradient_page(GradientComparison(("<script>",), False, (decay,)))
    assert "<b>" not in page
    assert "<script>" not in page
    assert "<th>&lt;b&gt; (lstm, trained)</th><td>2.5e-01</td>" in page


TEMPLATE = Path(page_module.__file__).parent / "templates" / "trace.html"


def test_page_texts_are_those_that_the_template_uses() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    used = set(re.findall(r'(?:say\(|data-text=|data-label=)"(\w+)"', template))
    assert used <= set(TEXTS)
    assert set(TEXTS) - used == {"pause"}  # chosen at run time
    for name in TEXTS:
        placeholders = set(re.findall(r"\{(\w+)\}", TEXTS[name]))
        given = re.search(rf'say\("{name}", \{{(.*?)\}}\)', template, re.DOTALL)
        assert placeholders == set(re.findall(r"(\w+):", given[1] if given else "")), name


class TranslatesAll(dict[str, str]):
    """A catalogue that has every text, put in brackets."""

    def get(self, text: str, _default: object = None) -> str:
        return f"【{text}】"


@pytest.fixture
def _other_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_catalogue", TranslatesAll({"": ""}))


LEFTOVERS = """
  const leftovers = [];
  const check = (text) => {
    // Nested brackets are removed from the inside out; cell and model names have no language.
    for (let last; last !== text; ) { last = text; text = text.replace(/【[^【】]*】/g, ""); }
    text = text.replace(/\\b(lstm|gru|rnn|tiny|poetgen inspect( --gradients)?)\\b/g, "");
    if (/[A-Za-z]{2,}/.test(text)) leftovers.push(text);
  };
  for (const element of document.body.querySelectorAll(":not(script)")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    for (const node of own) check(node.data);
    for (const name of ["aria-label", "title", "alt"]) check(element.getAttribute(name) || "");
  }
  report({ faults, leftovers, lang: document.documentElement.lang,
    overflow: document.documentElement.scrollWidth - innerWidth });
"""


@pytest.mark.usefixtures("_other_language")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_page_is_translated(
    cell: str, tiny_model: ModelBundle, tiny_config: Config, tmp_path: Path
) -> None:
    bundle = tiny_model if cell == "lstm" else bundle_with_cell(cell, tiny_config, tiny_model)
    page, _ = make_page(bundle, "床前明月龘。")
    clamp = "for (const one of document.querySelectorAll('.choice')) one.click();"
    move = "document.getElementById('last').click(); document.getElementById('play').click();"
    found = browser.drive(page, clamp + move + LEFTOVERS, tmp_path, width=390)
    assert found == {"faults": [], "leftovers": [], "lang": "zh-Hans", "overflow": 0}


@pytest.mark.usefixtures("_other_language")
def test_gradient_page_is_translated(gradients_page: str, tmp_path: Path) -> None:
    page = gradients_page.replace("style-src", "script-src 'unsafe-inline'; style-src", 1)
    found = browser.drive(page, LEFTOVERS, tmp_path, width=1280)
    assert found == {"faults": [], "leftovers": [], "lang": "zh-Hans", "overflow": 0}


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("lstm", ["forget gate", "input gate", "output gate", "candidate", "cell"]),
        ("gru", ["reset gate", "update gate", "candidate", "hidden state"]),
        ("rnn", ["hidden state"]),
    ],
)
def test_page_explains_each_part(
    cell: str, parts: list[str], tiny_model: ModelBundle, tiny_config: Config, tmp_path: Path
) -> None:
    page, _ = make_page(bundle_with_cell(cell, tiny_config, tiny_model), "床前")
    script = """report({ faults, language: document.documentElement.lang,
      parts: [...document.querySelectorAll("#parts dt")].map((one) => one.textContent),
      explained: [...document.querySelectorAll("#parts dd")].map((one) => one.textContent) });"""
    found = browser.drive(page, script, tmp_path, width=1280)
    assert (found["faults"], found["language"], found["parts"]) == ([], "en", parts)
    assert found["explained"] == list(EXPLANATIONS[cell].values())


@pytest.mark.parametrize("width", WIDTHS)
def test_page_labels_do_not_overlap(gates_page: str, tmp_path: Path, width: int) -> None:
    script = """const box = (e) => e.getBoundingClientRect();
      const apart = (a, b) => a.right <= b.left || b.right <= a.left
        || a.bottom <= b.top || b.bottom <= a.top;
      const texts = [...document.querySelectorAll("#flow text")].filter((e) => e.textContent);
      const labels = texts.filter((e) => !e.classList.contains("value"));
      const rings = [...document.querySelectorAll("#flow .ring, #flow .node")];
      const overlaps = [];
      for (const a of labels) {
        const others = [...texts, ...rings, document.querySelector("#units")];
        overlaps.push(...others.filter((b) => a !== b && !apart(box(a), box(b))).map(() => a.textContent));
      }
      const flow = box(document.querySelector("#flow"));
      overlaps.push(...texts.filter((e) => box(e).left < flow.left || box(e).right > flow.right));
      const wide = [...document.querySelectorAll(".card")].filter((e) => e.scrollWidth > e.clientWidth);
      report({ faults, overlaps, wide: wide.map((e) => e.id || e.textContent.slice(0, 40)) });"""
    found = browser.drive(gates_page, script, tmp_path, width=width)
    assert found == {"faults": [], "overlaps": [], "wide": []}


CONTRASTS = """
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((x, i) => a * x + (1 - a) * below[i]);
  const luminance = (rgb) => rgb.map((x) => x / 255)
    .map((x) => (x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + [.2126, .7152, .0722][i] * x, 0);
  const background = (element) => over(parse(getComputedStyle(element).backgroundColor),
    element.parentElement ? background(element.parentElement) : [255, 255, 255]);
  const faint = {};
  for (const element of document.body.querySelectorAll(":not(script)")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!own.length || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), below = background(element);
    const text = over(parse(element.closest("svg") ? style.fill : style.color), below);
    const [light, dark] = [luminance(text), luminance(below)].sort((a, b) => b - a);
    const contrast = (light + .05) / (dark + .05);
    if (contrast < 4.5) faint[own[0].data.trim()] = contrast;
  }
  report({ faults, faint, dark: matchMedia("(prefers-color-scheme: dark)").matches });
"""


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_page_text_has_contrast(gates_page: str, tmp_path: Path, is_dark: bool) -> None:
    script = "document.querySelectorAll('.choice')[1].click();" + CONTRASTS
    # Without transitions the colors are the final ones.
    page = gates_page.replace("</style>", "* { transition: none !important; }</style>", 1)
    found = browser.drive(page, script, tmp_path, width=1280, is_dark=is_dark)
    assert found == {"faults": [], "faint": {}, "dark": is_dark}


def test_page_of_gru(tiny_model: ModelBundle, tiny_config: Config, tmp_path: Path) -> None:
    page, _ = make_page(bundle_with_cell("gru", tiny_config, tiny_model))
    script = """document.getElementById("last").click();
      report({ faults, position: Number(document.getElementById("seek").value),
        flow: document.getElementById("flow"), clamps: document.querySelectorAll(".choice").length,
        series: [...document.getElementById("series").options].map((one) => one.value),
        heading: document.querySelector("#ablations .head").offsetHeight,
        note: document.getElementById("note").textContent });"""
    found = browser.drive(page, script, tmp_path, width=390)
    assert found.pop("note").startswith("A GRU has neither a cell nor")
    assert found.pop("series") == ["reset", "update", "candidate", "hidden"]
    assert found == {"faults": [], "position": len(TEXT), "flow": None, "clamps": 0, "heading": 0}
