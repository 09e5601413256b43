"""`poetgen eval`."""

import json
import logging
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from poetgen.data.corpus import Corpus
from poetgen.engine.scoring import score, total
from poetgen.model.file import ModelBundle, save_model
from poetgen.prosody.forms import form_of
from tests.evaluation.verses import verses
from tests.refusal import is_refused

app = make_app()

runner = CliRunner()
VERSE = "山云归去晚，溪月照人来。"
PARTS = {"forms", "given"}


@pytest.fixture(autouse=True)
def _run_on_starter(folder_with_a_model: None, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ARG001
    set_run_corpus("starter")
    caplog.set_level(logging.INFO, logger="poetgen")


def set_run_corpus(corpus: str) -> None:
    """Make the working folder the folder of a run on `corpus`."""
    Path("config.yaml").write_text(f"data:\n  corpus: [{corpus}]\n", encoding="utf-8")


def evaluate(*arguments: str, samples: int = 0) -> Result:
    return runner.invoke(app, ["eval", "--samples-per-form", str(samples), *arguments])


@pytest.mark.parametrize("split", ["valid", "test"])
def test_eval_scores_the_poems_of_a_split(
    split: str, tiny_model: ModelBundle, starter: Corpus
) -> None:
    result = evaluate("--split", split, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    poems = starter.splits["valid" if split == "valid" else "test"]
    expected = total(score(tiny_model.engine, poems, tiny_model.vocab))
    assert set(report) >= {"settings", "runs"}
    assert report["settings"]["split"] == split
    assert report["settings"]["corpus"] == starter.fingerprint
    assert report["settings"]["poems"] == len(poems)
    assert report["settings"]["precision"] == "int8"
    (run,) = report["runs"]
    assert run["model"] == "tiny.safetensors"
    likelihood = {key: value for key, value in run["likelihood"].items() if key not in PARTS}
    assert likelihood == {
        "poems": len(poems),
        "tokens": sum(len(poem.text) + 1 for poem in poems),
        "unknown_tokens": expected.unknown_tokens,
        "nats_per_token": pytest.approx(expected.nats_per_token, abs=1e-5),
        "perplexity": pytest.approx(expected.perplexity, rel=1e-5),
        "bits_per_hanzi": pytest.approx(expected.bits_per_hanzi, abs=1e-4),
    }


def test_eval_uses_the_runs_test_split_by_default(caplog: pytest.LogCaptureFixture) -> None:
    result = evaluate("--json")
    assert caplog.messages == ["model tiny.safetensors (from $POETGEN_CHECKPOINT)"]
    assert result.stdout == evaluate("--corpus", "starter", "--split", "test", "--json").stdout
    assert json.loads(result.stdout)["settings"]["split"] == "test"


def test_eval_prints_a_table() -> None:
    likelihood = json.loads(evaluate("--json").stdout)["runs"][0]["likelihood"]
    result = evaluate()
    assert result.exit_code == 0
    rows = map(str.split, result.stdout.splitlines())
    row = next(row for row in rows if row and row[0] == "tiny.safetensors")
    assert row[1:3] == [f"{likelihood['nats_per_token']:.4f}", f"{likelihood['perplexity']:,.2f}"]
    assert row[4:] == [f"{likelihood['tokens']:,}", f"{likelihood['unknown_tokens']:,}"]


def test_eval_poems_cleans_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    Path("poems.txt").write_text(f"{VERSE}\n{VERSE}\n山。\n", encoding="utf-8")
    result = evaluate("--poems", "poems.txt", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["settings"]["poems"] == 1
    assert report["settings"]["split"] is None
    assert report["runs"][0]["likelihood"]["tokens"] == 13
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert sorted(warnings) == [
        "1 record of poems.txt is not scored: duplicate",
        "1 record of poems.txt is not scored: stub",
    ]


def test_eval_poems_reads_output_of_sample() -> None:
    sampled = runner.invoke(app, ["sample", "山", "--num", "4", "--seed", "1", "--format", "jsonl"])
    Path("poems.jsonl").write_text(f'{sampled.stdout}{{"poem": "{VERSE}"}}\n', encoding="utf-8")
    result = evaluate("--poems", "poems.jsonl", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["settings"]["poems"] >= 1


def test_eval_has_a_run_per_model_in_order(tiny_model: ModelBundle) -> None:
    run = Path("checkpoints") / "other"
    run.mkdir(parents=True)
    bias = np.linspace(-1, 1, len(tiny_model.vocab), dtype=np.float32)
    changed = replace(tiny_model, weights={**tiny_model.weights, "output_bias": bias})
    save_model(run / "best.safetensors", changed)
    result = evaluate("other", "tiny.safetensors", "--json")
    assert result.exit_code == 0
    runs = json.loads(result.stdout)["runs"]
    assert [r["model"] for r in runs] == [
        "checkpoints/other/best.safetensors",
        "tiny.safetensors",
    ]
    nats = [r["likelihood"]["nats_per_token"] for r in runs]
    assert not math.isclose(nats[0], nats[1], abs_tol=1e-4)


def test_eval_warns_of_another_corpus(caplog: pytest.LogCaptureFixture) -> None:
    poems = [f"山云归去{chr(0x4E00 + i)}，溪月照人{chr(0x5E00 + i)}。\n" for i in range(200)]
    Path("poems.txt").write_text("".join(poems), encoding="utf-8")
    result = evaluate("--corpus", "poems.txt", "--json")
    assert result.exit_code == 0
    (warning,) = json.loads(result.stdout)["settings"]["warnings"]
    assert warning.startswith("tiny.safetensors was trained on another corpus")
    assert warning in caplog.messages


def test_eval_compares_samples_with_real_poems(starter: Corpus) -> None:
    result = evaluate("--json", "--seed", "3", "--temperature", "0.5,1", samples=2)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["settings"]["seed"] == 3
    assert report["settings"]["temperatures"] == [0.5, 1.0]
    assert [run["temperature"] for run in report["runs"]] == [0.5, 1.0]
    assert all("free" in run and "constrained" not in run for run in report["runs"])
    held_out = Counter(form_of(poem.lines) for poem in starter.splits["test"])
    assert report["reference"]["poems"]["五绝"] == min(2, held_out["五绝"])
    assert evaluate("--json", "--seed", "3", "--temperature", "0.5,1", samples=2).stdout == (
        result.stdout
    )


def test_eval_constrained_adds_a_column() -> None:
    result = evaluate("--json", "--constrained", samples=1)
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert {"free", "constrained"} <= run.keys()
    metrics = run["constrained"]["metrics"]
    assert all(metrics[form]["level_rhyme"]["value"] == 1 for form in metrics)


def test_eval_generated_is_a_column_and_on_the_page() -> None:
    poems = verses("五绝", 12, 1)
    Path("poems.txt").write_text("".join(f"{poem}\n" for poem in poems), encoding="utf-8")
    result = evaluate("--generated", "poems.txt", "--html", "page.html", samples=2)
    assert result.exit_code == 0, result.stderr
    assert "poems.txt" in result.stdout
    assert "distinct-2" in result.stdout
    text = Path("page.html").read_text(encoding="utf-8")
    assert poems[0].lines[0] in text
    assert text.endswith("</html>\n")


def test_eval_html_not_writable_exits_1() -> None:
    Path("folder").mkdir()
    assert is_refused(evaluate("--html", "folder"), 1)


def test_eval_baseline_adds_rows() -> None:
    result = evaluate("--baseline")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("Kneser–Ney, order") == 4


def test_eval_baseline_without_corpus_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POETGEN_CORPUS", raising=False)
    Path("poems.txt").write_text(f"{VERSE}\n", encoding="utf-8")
    result = evaluate("--poems", "poems.txt", "--baseline")
    assert is_refused(result, 1)
    assert "--baseline needs a corpus for training" in result.stderr


def test_eval_without_corpus_measures_samples_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path("config.yaml").unlink()
    # The untrained model generates no form unless it is imposed.
    result = evaluate("--json", "--constrained", samples=2)
    assert result.exit_code == 0, result.stderr
    assert "there is no corpus at data/tang" in caplog.text
    assert "poetgen corpus fetch" in caplog.text
    report = json.loads(result.stdout)
    assert report["reference"] is None
    assert "distinct_2" in report["runs"][0]["constrained"]["metrics"]["五绝"]
    table = evaluate("--constrained", samples=2)
    assert (table.exit_code, "distinct-2" in table.stdout) == (0, True)
    # A missing corpus is an error if it is named, or if nothing else can be measured.
    assert is_refused(evaluate("--split", "test", samples=2), 1)
    assert is_refused(evaluate(), 1)
    monkeypatch.setenv("POETGEN_CORPUS", "absent")
    assert is_refused(evaluate(samples=2), 1)


def test_eval_poems_uses_the_default_training_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("poems.txt").write_text(
        "".join(f"{poem}\n" for poem in verses("五绝", 6, 1)), encoding="utf-8"
    )
    bare = json.loads(evaluate("--poems", "poems.txt", "--json", samples=2).stdout)
    assert "seen_2" in bare["runs"][0]["missing"]
    monkeypatch.setenv("POETGEN_CORPUS", "starter")
    result = evaluate("--poems", "poems.txt", "--json", samples=2)
    assert result.exit_code == 0, result.stderr
    full = json.loads(result.stdout)
    assert "seen_2" not in full["runs"][0]["missing"]
    assert full["reference"]["poems"]["五绝"] == 2


@pytest.mark.parametrize("text", ["warm", "0.5;1", "", "-1", "0.8,nan", "0.8,,1"])
def test_eval_temperature_invalid_exits_2(text: str) -> None:
    assert is_refused(evaluate(f"--temperature={text}"), 2)


def test_eval_corpus_overrides_a_missing_run_corpus() -> None:
    set_run_corpus("gone/tang")
    result = evaluate("--corpus", "starter", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["settings"]["source"].endswith("starter.txt")


def test_eval_falls_back_to_environment_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_run_corpus("gone/tang")
    monkeypatch.setenv("POETGEN_CORPUS", "starter")
    result = evaluate("--json")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["absent.safetensors"],
        ["tiny.safetensors", "absent.safetensors"],
        ["--poems", "absent.txt"],
        ["--corpus", "absent"],
        ["--poems", "empty.txt"],
        ["--poems", "stubs.txt"],
        ["--poems", "broken.json"],
        ["--poems", "latin1.txt"],
        ["--corpus", "empty.txt"],
        ["random"],
    ],
    ids=" ".join,
)
def test_eval_unreadable_input_exits_1_naming_it(options: list[str]) -> None:
    Path("empty.txt").touch()
    Path("stubs.txt").write_text("山。\n", encoding="utf-8")
    Path("broken.json").write_text('[{"paragraphs": ["山', encoding="utf-8")
    Path("latin1.txt").write_bytes(b"\xe9t\xe9")
    Path("random").write_bytes(bytes(range(256)))
    result = evaluate(*options)
    assert is_refused(result, 1)
    assert options[-1] in result.stderr


def test_eval_empty_split_exits_1() -> None:
    Path("one.txt").write_text(VERSE + "\n", encoding="utf-8")
    exit_codes = [evaluate("--corpus", "one.txt", "--split", s) for s in ("train", "valid", "test")]
    assert sorted(result.exit_code for result in exit_codes) == [0, 1, 1]
    assert all(is_refused(result, 1) for result in exit_codes if result.exit_code)


def test_eval_rejects_corpus_with_poems() -> None:
    assert is_refused(evaluate("--corpus", "starter", "--poems", "poems.txt"), 2)


def test_eval_rejects_generated_without_samples() -> None:
    assert is_refused(evaluate("--generated", "poems.txt", samples=0), 2)


def test_eval_unknown_split_exits_2() -> None:
    result = evaluate("--split", "dev")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--split" in result.stderr
