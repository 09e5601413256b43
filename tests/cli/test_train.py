"""`poetgen train`, from the command line to a usable model."""

import contextlib
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from poetgen.config import config_names
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood, score, total
from poetgen.model.file import load_model
from poetgen.training import loop, prepare
from tests.refusal import is_refused

app = make_app()

runner = CliRunner()

SMALL = [
    "--set=train.epochs=1",
    "--set=train.precision=fp32",
    "--set=model.hidden_size=16",
    "--set=model.embedding_size=12",
    "--device=cpu",
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POETGEN_CORPUS_URL", "nowhere")


def poetgen(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def train(*arguments: str) -> Result:
    return poetgen("train", "--config", "tiny", *SMALL, *arguments)


def test_train_then_sample_eval_and_resume() -> None:
    trained = train("--run", "short")
    assert trained.exit_code == 0, trained.stderr
    assert trained.stdout == "checkpoints/short/best.safetensors\n"
    best = load_model(Path("checkpoints/short/best.safetensors")).metrics["valid_perplexity"]
    summary, following = trained.stderr.splitlines()[-2:]
    assert summary.startswith(
        f"run checkpoints/short: best validation perplexity {best:,.1f} (epoch 1), "
    )
    assert following == "next: poetgen sample --model short"
    names = {file.name for file in Path("checkpoints/short").iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "best.safetensors", "last.pt"}

    sampled = poetgen("sample", "山", "--seed", "1")
    assert sampled.exit_code == 0
    assert sampled.stdout.startswith("山")
    assert sampled.stderr.startswith("model short (newest run; ")

    evaluated = poetgen("eval", "--split", "valid", "--json")
    assert evaluated.exit_code == 0
    assert "another corpus" not in evaluated.stderr
    found = json.loads(evaluated.stdout)["runs"][0]["likelihood"]["nats_per_token"]
    bundle = load_model(Path("checkpoints/short/best.safetensors"))
    assert found == pytest.approx(bundle.metrics["valid_nats_per_token"], abs=2e-3)

    resumed = poetgen("train", "--resume", "--set", "train.epochs=2", "--device", "cpu")
    assert resumed.exit_code == 0, resumed.stderr
    assert "train.epochs: 1 → 2 (from the command line)" in resumed.stderr
    assert load_model(Path("checkpoints/short/best.safetensors")).metrics["epoch"] == 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.epoch=1", "unknown key 'train.epoch' (did you mean 'epochs'?)"),
        ("trian.epochs=1", "unknown key 'trian' (did you mean 'train'?)"),
        ("train.epochs=many", "train.epochs = 'many': expected"),
        ("train.epochs=true", "train.epochs = True: expected"),
        ("train.epochs=1.5", "train.epochs = 1.5: expected"),
        ("train.epochs=0", "train.epochs = 0: expected"),
        ("train.learning_rate=.nan", "train.learning_rate = nan: expected"),
        ("train.learning_rate=.inf", "train.learning_rate = inf: expected"),
        ("train.learning_rate=-1", "train.learning_rate = -1: expected"),
        ("model.output_dropout=1", "model.output_dropout = 1: expected"),
        ("model.cell=transformer", "model.cell = 'transformer': expected"),
        ("train=5", "train=5 is not of the form section.key=value"),
        ("epochs", "epochs is not of the form section.key=value"),
        ("train.epochs=[", "the value cannot be read as YAML"),
        ("train.save_interval_seconds=.nan", "train.save_interval_seconds = nan: expected"),
    ],
)
def test_bad_setting_exits_2(setting: str, said: str) -> None:
    result = train("--run", "short", "--set", setting)
    assert is_refused(result, 2)
    assert said in result.stderr
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train: {lr: 1}", "unknown key 'train.lr'"),
        ("train: {epochs: yes}", "train.epochs = 'yes'"),
        ("model: {num_layers: 0, output_dropout: 7}", "model.num_layers = 0"),
        ("train: 5", "train = 5"),
        ("- 1", "contains list, not sections"),
        ("train: {", "cannot be read as YAML"),
        ("train: \udce9", "cannot be read as YAML"),
    ],
)
def test_bad_config_file_exits_2(content: str, said: str) -> None:
    Path("own.yaml").write_bytes(content.encode("utf-8", "surrogateescape"))
    result = poetgen("train", "--config", "own.yaml")
    assert is_refused(result, 2)
    assert said in result.stderr
    assert "own.yaml" in result.stderr
    assert not Path("checkpoints").exists()


def test_all_bad_settings_are_reported() -> None:
    result = train("--set", "train.lr=1", "--set", "model.output_dropout=2")
    assert "train.lr" in result.stderr
    assert "model.output_dropout = 2" in result.stderr


def test_missing_config_exits_2_with_the_names() -> None:
    result = poetgen("train", "--config", "huge")
    assert is_refused(result, 2)
    assert ", ".join(config_names()) in result.stderr


def test_name_with_a_space_is_quoted_in_the_next_command() -> None:
    result = train("--run", "my run", "--corpus", "starter")
    assert result.stderr.endswith("next: poetgen sample --model 'my run'\n")


def test_run_without_a_finite_validation_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_, **__: Likelihood(1, 1, 0, 1, math.inf))
    result = train("--run", "short")
    assert is_refused(result, 1)
    assert "no epoch of run short had a finite validation loss" in result.stderr


def test_missing_tensorboard_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "find_spec", lambda _: None)
    result = train("--set", "train.tensorboard=true", "--run", "short")
    assert is_refused(result, 1)
    assert "pip install 'poetgen[tensorboard]'" in result.stderr
    assert not Path("checkpoints").exists()


def test_failed_fetch_exits_1() -> None:
    result = poetgen("train", "--config", "base", "--run", "short")
    assert is_refused(result, 1)
    assert "fetching the Tang poems" in result.stderr
    assert "was not downloaded: nowhere" in result.stderr
    assert not Path("checkpoints").exists()


BAD_CORPORA = {
    "empty.txt": b"",
    "truncated.json": '[{"paragraphs": ["山云归去晚，'.encode(),
    "gb.txt": "山云归去晚，溪月照人来。\n".encode("gb18030"),
    "one.txt": "山云归去晚，溪月照人来。\n".encode(),
}


@pytest.mark.parametrize("name", [*BAD_CORPORA, "absent"])
def test_bad_corpus_exits_1(name: str) -> None:
    for file, content in BAD_CORPORA.items():
        Path(file).write_bytes(content)
    result = train("--corpus", name, "--run", "short")
    assert is_refused(result, 1)
    assert name in result.stderr
    assert not Path("checkpoints").exists()


def test_broken_records_are_warnings(starter: Corpus) -> None:
    records: list[object] = [{"paragraphs": [poem.text]} for poem in starter.poems[:120]]
    records[3] = {"title": 7, "paragraphs": ["山云归去晚，溪月照人来。"]}
    records += [{"paragraphs": 5}, "山云"]
    records += [{"paragraphs": [poem.text]} for poem in starter.splits["valid"]]
    Path("poems.json").write_text(json.dumps(records), encoding="utf-8")
    result = train("--corpus", "poems.json", "--run", "short")
    assert result.exit_code == 0, result.stderr
    warnings = [text for text in result.stderr.splitlines() if text.startswith("warning: ")]
    assert [w.partition("poems.json: ")[2].partition(":")[0] for w in warnings] == [
        "record 3",
        "record 120",
        "record 121",
    ]


def existing_run() -> Path:
    run = Path("checkpoints/short")
    run.mkdir(parents=True)
    (run / "best.safetensors").write_text("old")
    return run


def is_unchanged(run: Path) -> bool:
    return (run / "best.safetensors").read_text() == "old"


def test_existing_run_exits_2() -> None:
    run = existing_run()
    result = train("--run", "short")
    assert is_refused(result, 2)
    assert "--resume" in result.stderr
    assert "--overwrite" in result.stderr
    assert is_unchanged(run)


def test_overwrite_replaces_a_run() -> None:
    run = existing_run()
    (run / "stray").touch()
    result = train("--run", "short", "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert not (run / "stray").exists()
    assert load_model(run / "best.safetensors").metrics["epoch"] == 1


@pytest.mark.parametrize(
    "options",
    [["--corpus", "absent"], ["--device", "abacus"], ["--set", "train.epochs=0"], ["--resume"]],
    ids=" ".join,
)
def test_overwrite_deletes_nothing_on_an_error(options: list[str]) -> None:
    run = existing_run()
    assert train("--run", "short", "--overwrite", *options).exit_code in (1, 2)
    assert is_unchanged(run)


@pytest.mark.parametrize(
    "options",
    [
        ["--run", "../elsewhere"],
        ["--run", "a/b"],
        ["--run", ".."],
        ["--run", "latest"],
        ["--resume", "--overwrite"],
        ["--resume"],
        ["--resume", "--run", "never"],
        ["--resume", "--init", "never"],
        ["--device", "abacus"],
    ],
    ids=" ".join,
)
def test_wrong_call_exits_2(options: list[str]) -> None:
    result = train(*options)
    assert is_refused(result, 2)
    assert not Path("checkpoints").exists()


def test_unwritable_folder_exits_1() -> None:
    Path("checkpoints").write_text("a file")
    result = train("--run", "short")
    assert is_refused(result, 1)
    assert Path("checkpoints").read_text() == "a file"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the starter verses, with 32 hidden units."""
    folder = tmp_path_factory.mktemp("origin")
    with contextlib.chdir(folder):
        shape = ["--set=model.hidden_size=32", "--set=model.embedding_size=24"]
        result = train("--run", "origin", *shape, "--set=train.epochs=3")
    assert result.exit_code == 0, result.stderr
    return folder / "checkpoints" / "origin" / "best.safetensors"


# The characters at each of a line's five positions; those of KNOWN are in the starter verses.
KNOWN = ["山水云月风", "春秋夜晓寒", "照吹入随落", "松竹花柳鸟", "门窗径溪村"]
NEW = ["炉炭砧锤釜", "铜铁锡银铅", "敲铸磨锻焊", "钉锁锯斧犁", "坊窑厂铺棚"]


def verses(positions: Sequence[str], count: int) -> list[str]:
    """Quatrains that share no lines."""
    rng = random.Random(5)
    lines: dict[str, None] = {}
    while len(lines) < 4 * count:
        lines["".join(map(rng.choice, positions))] = None
    each = iter(lines)
    return [f"{a}，{b}。{c}，{d}。" for a, b, c, d in zip(each, each, each, each, strict=True)]


def perplexity(model: Path, texts: Sequence[str]) -> float:
    bundle = load_model(model)
    return total(score(bundle.engine, list(map(Poem, texts)), bundle.vocab)).perplexity


FAST = ["--set=train.batch_tokens=128", "--set=train.learning_rate=5e-3"]


@pytest.mark.parametrize(
    ("positions", "settings", "at_most"),
    [(KNOWN, [], 1.0), (KNOWN, FAST, 0.3), (NEW, FAST, 1e-3)],
    ids=["default", "larger steps", "new characters"],
)
def test_init_learns_other_verses(
    origin: Path, positions: Sequence[str], settings: Sequence[str], at_most: float
) -> None:
    """Measured on held-out verses, with the surcharge for characters outside the vocabulary."""
    texts = verses(positions, 90)
    Path("own.txt").write_text("\n".join(texts[:60]), encoding="utf-8")
    result = poetgen(
        *("train", "--init", str(origin), "--corpus", "own.txt", "--run", "own"),
        *("--set=train.precision=fp32", "--device=cpu", *settings),
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "checkpoints/own/best.safetensors\n"
    own = Path("checkpoints/own/best.safetensors")
    assert perplexity(own, texts[60:]) < at_most * perplexity(origin, texts[60:])
    old, new = load_model(origin).vocab, load_model(own).vocab
    assert new.symbols[: len(old)] == old.symbols
    assert set("".join(positions)) <= set(new.symbols)


def test_init_by_the_name_of_a_run() -> None:
    assert train("--run", "short").exit_code == 0
    result = poetgen(
        *("train", "--init", "short", "--corpus", "starter", "--set=train.epochs=1"),
        *("--set=train.precision=fp32", "--device=cpu"),
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("checkpoints/finetune-")
    assert load_model(Path(result.stdout.strip())).config.model.hidden_size == 16


def test_init_then_sample_and_resume(origin: Path) -> None:
    trained = poetgen(
        *("train", "--init", str(origin), "--corpus", "starter", "--run", "own"),
        *("--set=train.epochs=1", "--set=train.precision=fp32", "--device=cpu"),
    )
    assert trained.exit_code == 0, trained.stderr
    sampled = poetgen("sample", "山", "--seed", "1", "--num", "20")
    assert sampled.exit_code == 0, sampled.stderr
    assert "山" in sampled.stdout
    assert "<" not in sampled.stdout
    resumed = poetgen("train", "--resume", "--set", "train.epochs=2", "--device", "cpu")
    assert resumed.exit_code == 0, resumed.stderr
    log = Path("checkpoints/own/metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in log]
    assert [e["epoch"] for e in entries if e["kind"] == "validation"] == [1, 2]


@pytest.mark.parametrize("content", [None, b"no model"], ids=["absent", "damaged"])
def test_bad_init_model_exits_1(content: bytes | None) -> None:
    if content is not None:
        Path("old.safetensors").write_bytes(content)
    result = train("--init", "old.safetensors", "--run", "short")
    assert is_refused(result, 1)
    assert "old.safetensors" in result.stderr
    assert not Path("checkpoints").exists()


def test_other_architecture_with_init_exits_2(
    origin: Path,
) -> None:
    result = train("--init", str(origin), "--run", "short")
    assert is_refused(result, 2)
    assert "model.embedding_size = 12" in result.stderr
    assert "the model to start from 24" in result.stderr
    assert not Path("checkpoints").exists()


def test_resume_and_init_exit_2() -> None:
    result = poetgen("train", "--resume", "--init", "short")
    assert is_refused(result, 2)
    assert "--resume and --init exclude each other" in result.stderr
