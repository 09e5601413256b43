"""The page of training curves."""

import pytest

from poetgen import language
from poetgen.views.run_page import run_page
from tests.views.histories import history


def test_page_of_a_run_without_validation() -> None:
    assert "–" in run_page([history("young", epochs=0)], "steps")


def test_page_is_self_contained() -> None:
    page = run_page([history("spring"), history("<b>")], "epochs")
    assert page.count("<svg") == 2
    assert "default-src 'none'" in page
    assert "color-scheme: light dark" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "<b>" not in page
    assert "7.4 (epoch 2)" in page
    assert 'lang="en"' in page


def test_page_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_catalogue", {"Training curves": "训练曲线", "steps": "步"})
    page = run_page([history("spring")], "steps")
    assert 'lang="zh-Hans"' in page
    assert "<h1>训练曲线</h1>" in page
    assert ">步</text>" in page
