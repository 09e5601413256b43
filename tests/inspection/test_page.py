"""The page: self-contained, faithful to what was recorded, and alive in a browser."""

import base64
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config
from poetgen.inspection import page as page_module
from poetgen.inspection.gradients import compare
from poetgen.inspection.page import gradient_page, verse_page
from poetgen.inspection.verse import (
    Inquiry,
    Verse,
    Writing,
    hold_each_gate,
    inspect_text,
    writing,
)
from poetgen.model.store import StoredModel, new_model
from poetgen.sampling.prompt import prepare_prompt
from poetgen.sampling.request import Settings
from tests import browser

TEXT = "床前明月光，疑是地上霜。"
WIDTHS = [1280, 390]


class Elements(HTMLParser):
    """Counts what is opened and closed, and keeps attributes that could fetch something."""

    VOID = frozenset({"meta", "link", "input", "br", "path", "circle"})

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


def make_page(stored: StoredModel, text: str = TEXT) -> tuple[str, Verse]:
    asked = Inquiry(prepare_prompt(text, stored.vocab), 1, Settings(0.8))
    verse, asked = inspect_text(stored, asked, go_on=False)
    page = verse_page(
        verse,
        model="tiny",
        cell=stored.model.cell,
        inquiry=asked,
        writing=writing(stored, asked),
        held=list(hold_each_gate(stored, text, asked)),
    )
    return page, verse


@pytest.fixture
def gates_page(tiny_model: StoredModel) -> str:
    return make_page(tiny_model)[0]


def gradients_page(stored: StoredModel) -> str:
    return gradient_page(compare([("tiny", stored)], [TEXT]), on=TEXT)


@pytest.mark.parametrize("kind", ["gates", "gradients"])
def test_nothing_in_the_page_points_outside(kind: str, tiny_model: StoredModel) -> None:
    page = make_page(tiny_model)[0] if kind == "gates" else gradients_page(tiny_model)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page)
    assert "default-src 'none'" in page
    assert "__DATA__" not in page
    assert "__TITLE__" not in page
    elements = Elements()
    elements.feed(page)
    elements.close()
    assert elements.open == []
    assert elements.fetching == [("href", "data:,")]


def unpack(series: dict[str, Any], num_places: int) -> torch.Tensor:
    low, high = series["low"], series["high"]
    if "codes" not in series:
        assert low == high
        return torch.full((num_places, 1), low)
    codes = torch.tensor(list(base64.b64decode(series["codes"])), dtype=torch.float64)
    return torch.lerp(codes.new_tensor(low), codes.new_tensor(high), codes / 255).reshape(
        num_places, -1
    )


def test_the_data_are_the_recording_to_eight_bits(tiny_model: StoredModel) -> None:
    page, verse = make_page(tiny_model)
    data = read_data(page)
    assert data["characters"] == list(verse.characters)
    assert (data["opening"], data["seed"], data["temperature"]) == ("床前明月光，", 1, 0.8)
    first = data["runs"][0]
    for layer, series in enumerate(verse.recording.layers):
        for name, values in series.items():
            found = unpack(first["layers"][layer][name], len(verse.characters))
            step = float(values.max() - values.min()) / 255
            torch.testing.assert_close(found, values.double(), rtol=0, atol=step / 2 + 1e-9)
    assert first["means"][1]["forget"] == pytest.approx(verse.recording.mean(1, "forget"), abs=1e-4)
    assert first["nats"][1:] == pytest.approx([n for n in verse.nats if n is not None], abs=1e-3)


def test_a_held_run_has_its_gate_and_leaves_out_what_lies_below(tiny_model: StoredModel) -> None:
    runs = read_data(make_page(tiny_model)[0])["runs"]
    assert len(runs) == 1 + 12
    upper = next(r for r in runs[1:] if (r["layer"], r["gate"], r["is_open"]) == (1, "input", True))
    assert upper["layers"][0] is None
    assert upper["layers"][1]["input"] == {"low": 1.0, "high": 1.0}
    assert set(upper["means"][1]["input"]) == {1.0}
    assert len({run["writes"] for run in runs}) > 1


def test_a_page_stays_below_its_size_by_leaving_units_out(
    tiny_model: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(read_data(make_page(tiny_model)[0])["runs"][0]["layers"][0]["cell"]["codes"])
    monkeypatch.setattr(page_module, "MAX_BYTES", 13 * 16 * 40)
    data = read_data(make_page(tiny_model)[0])
    assert data["stride"] > 1
    assert data["num_units"] == 16
    codes = base64.b64decode(data["runs"][0]["layers"][0]["cell"]["codes"])
    assert len(codes) == 13 * -(-16 // data["stride"])
    assert len(codes) < whole


def test_a_text_cannot_break_out_of_the_page(tiny_model: StoredModel) -> None:
    verse, asked = inspect_text(
        tiny_model, Inquiry(prepare_prompt("床前", tiny_model.vocab), 1, Settings()), go_on=False
    )
    sly = Writing("</script><script>alert(1)</script>", ended=True)
    page = verse_page(verse, model="<b>", cell="lstm", inquiry=asked, writing=sly)
    assert "<script>alert" not in page
    assert read_data(page)["runs"][0]["writes"] == sly.text


DRIVER = """
const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const place = () => Number($("seek").value);
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const picture = () => $("map").toDataURL();
const choose = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
(async () => {
  const found = { width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth };
  found.start = place();
  $("forward").click(); $("forward").click(); $("back").click();
  found.stepped = place();
  choose("speed", "8");
  $("play").click();
  await wait(600);
  $("play").click();
  found.played = place();
  await wait(600);
  found.paused = place();
  press("ArrowRight"); found.right = place();
  press("Home"); found.home = place();
  press("End"); found.end = place();
  press(" "); await wait(300); found.replayed = place(); press(" ");
  const space = new KeyboardEvent("keydown", { key: " ", bubbles: true, cancelable: true });
  $("forward").dispatchEvent(space);
  found.spacePresses = !space.defaultPrevented && $("play").title === "play";
  document.querySelectorAll(".tile")[3].click();
  found.tile = place();
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
  found.writes = {};
  for (const button of document.querySelectorAll(".choice")) {
    button.click();
    found.writes[button.dataset.run] = $("written").textContent;
    if (button.getAttribute("aria-label") === "layer 1: forget gate shut") {
      found.heldPicture = picture() !== free;
      found.heldValue = $("value-forget").textContent;
      found.heldShown = !$("held").hidden && $("chip").textContent;
    }
  }
  $("chip").click();
  found.asItIs = $("as-it-is").textContent;
  found.released = $("held").hidden && picture() === free;
  found.overflowAfter = document.documentElement.scrollWidth - innerWidth;
  found.resources = performance.getEntriesByType("resource").map((one) => one.name);
  found.faults = faults;
  report(found);
})().catch((error) => report({ faults: [String(error.stack)] }));
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_plays_steps_pauses_and_holds_gates(
    gates_page: str, tmp_path: Path, width: int
) -> None:
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
    assert found["now"].startswith("明  at ")
    assert found["where"] == f"明 · 3 of {len(TEXT)}"
    assert (found["focused"], found["inTabOrder"]) == ("月", 1)
    assert re.search(r"forget gate \d\.\d\d, input gate .* candidate -?\d", found["flow"])
    assert found["next"] == 5
    assert (found["orders"], found["series"]) == (5, 6)
    assert found["layerChanged"]
    assert found["heldPicture"]
    assert found["heldValue"] == "0.00"
    assert found["heldShown"].startswith("layer 1: forget gate shut")
    assert found["released"]
    assert any(text != found["asItIs"] for text in found["writes"].values())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_picture_of_the_page(gates_page: str, tmp_path: Path, width: int) -> None:
    picture = tmp_path / f"{width}.png"
    browser.screenshot(gates_page, picture, width=width, height=1600)
    check_picture(picture, width, 1600)


def check_picture(picture: Path, width: int, height: int) -> None:
    """It has the size, and something is drawn on it: an empty page packs into less."""
    size = struct.unpack(">II", picture.read_bytes()[16:24])
    assert size == (max(width, browser.NARROWEST), height)
    assert picture.stat().st_size > 30_000


def test_an_empty_page_is_told_from_a_full_one(tmp_path: Path) -> None:
    picture = tmp_path / "empty.png"
    browser.screenshot("<!doctype html><head></head>", picture, width=1280, height=1600)
    with pytest.raises(AssertionError):
        check_picture(picture, 1280, 1600)


def test_a_page_that_asks_for_something_outside_is_caught(gates_page: str, tmp_path: Path) -> None:
    asking = gates_page.replace("<header>", '<header><img src="https://example.invalid/x.png">', 1)
    with pytest.raises(AssertionError, match=r"example\.invalid"):
        browser.drive(asking, "report({ faults })", tmp_path, width=390)


LONG = "昔人已乘黄鹤去，此地空余黄鹤楼。黄鹤一去不复返，白云千载空悠悠。" * 2
assert len(LONG) == 64


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_verse_keeps_its_lines_whole_and_its_labels_apart(
    tiny_model: StoredModel, tmp_path: Path, width: int
) -> None:
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


def test_an_unknown_character_is_marked(tiny_model: StoredModel, tmp_path: Path) -> None:
    page, _ = make_page(tiny_model, "床前明月龘。")
    script = """const marked = [...document.querySelectorAll(".tile.unknown")];
      report({ faults, marked: marked.map((tile) => tile.firstChild.textContent),
        signs: document.getElementById("signs").textContent });"""
    found = browser.drive(page, script, tmp_path, width=390)
    assert found["faults"] == []
    assert found["marked"] == ["龘"]
    assert "＾ the start" in found["signs"]
    assert "dotted: the model does not know" in found["signs"]


def test_the_page_of_gradients_opens(tiny_model: StoredModel, tmp_path: Path) -> None:
    script = """report({ faults, rows: document.querySelectorAll("#table tr").length,
      overflow: document.documentElement.scrollWidth - innerWidth,
      curves: document.querySelectorAll("#key span").length });"""
    found = browser.drive(gradients_page(tiny_model), script, tmp_path, width=390)
    assert found == {"faults": [], "rows": 1 + 4, "overflow": 0, "curves": 4}
    picture = tmp_path / "gradients.png"
    browser.screenshot(gradients_page(tiny_model), picture, width=1280, height=1000)
    check_picture(picture, 1280, 1000)


def test_the_page_of_a_model_without_gates_opens_and_says_so(
    tiny_model: StoredModel, tiny_config: Config, tmp_path: Path
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": "gru"})
    config = tiny_config.model_copy(update={"model": shape})
    model = new_model(config, tiny_model.vocab).eval()
    page, _ = make_page(StoredModel(model, tiny_model.vocab, config, ""))
    script = """document.getElementById("last").click();
      report({ faults, place: Number(document.getElementById("seek").value),
        flow: document.getElementById("flow"), holds: document.querySelectorAll(".choice").length,
        series: [...document.getElementById("series").options].map((one) => one.value),
        heading: document.querySelector("#whatif .head").offsetHeight,
        lacks: document.getElementById("lacks").textContent });"""
    found = browser.drive(page, script, tmp_path, width=390)
    assert found.pop("lacks").startswith("A GRU has neither a cell nor")
    assert found.pop("series") == ["reset", "update", "candidate", "hidden"]
    assert found == {"faults": [], "place": len(TEXT), "flow": None, "holds": 0, "heading": 0}
