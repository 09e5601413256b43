"""`poetgen.config`: defaults < file < --set, all errors at once, descriptions."""

from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from poetgen import language
from poetgen.config import Config, build_config, changes, config_names, describe, load_config
from poetgen.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "configs"
COMMANDS = {"finetune": "poetgen train --init MODEL --corpus my-poems.txt"}
"""Commands of configurations that are not used with --config."""


def yaml_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(source: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides)
    error = caught.value
    assert error.exit_code == 2
    assert error.why
    assert error.fix
    assert "\n" not in error.fix
    return error


def listed(error: ConfigError) -> list[str]:
    """Return the listed errors."""
    head, *lines = error.why.splitlines()
    assert head.endswith("is not valid:")
    assert all(line.startswith("  ") for line in lines)
    return [line.strip() for line in lines]


def test_bundled_configs_load() -> None:
    files = sorted(CONFIGS.glob("*.yaml"))
    assert {file.stem for file in files} >= {"tiny", "base", "large", "gru", "rnn", "finetune"}
    assert config_names() == [file.stem for file in files]
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        *_, last = takewhile(lambda line: line.startswith("# poetgen "), lines)
        command = COMMANDS.get(file.stem, f"poetgen train --config {file.stem}")
        assert f"{last} ".startswith(f"# {command} ")
        assert load_config(file.stem) == load_config(str(file))


@pytest.mark.parametrize(
    ("name", "cell"),
    [("tiny", "lstm"), ("base", "lstm"), ("large", "lstm"), ("gru", "gru"), ("rnn", "rnn")],
)
def test_bundled_configs_have_their_cell(name: str, cell: str) -> None:
    assert load_config(name).model.cell == cell


def test_load_default_is_base() -> None:
    assert load_config() == load_config("base")


def test_load_empty_is_defaults(tmp_path: Path) -> None:
    assert build_config({}) == Config()
    assert load_config(yaml_file(tmp_path, "")) == Config()
    assert load_config(yaml_file(tmp_path, "# only a comment\n")) == Config()


def test_load_precedence(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "train:\n  epochs: 3\n  seed: 4\n")
    config = load_config(path, ["train.epochs=5", "model.cell=gru"])
    assert config.train.epochs == 5
    assert config.train.seed == 4
    assert config.train.batch_tokens == Config().train.batch_tokens
    assert config.model.cell == "gru"


def test_load_last_override_wins() -> None:
    assert load_config("base", ["train.epochs=5", "train.epochs=6"]).train.epochs == 6


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.learning_rate=3e-4", 0.0003),
        ("train.learning_rate=3E-4", 0.0003),
        ("train.learning_rate=.5", 0.5),
        ("train.learning_rate=5.e-1", 0.5),
        ("train.learning_rate=+1", 1.0),
        ("train.learning_rate=1e+1", 10.0),
        ("train.betas=[0.5, 9e-1]", [0.5, 0.9]),
        ("train.epochs= 7", 7),
        ("train.epochs =7", 7),
        ("train.seed=0", 0),
        ("model.tie_embeddings=false", False),
        ("model.tie_embeddings=true", True),
        ("data.corpus=[a, 'b=c']", ["a", "b=c"]),
        ("data.corpus=[yes, no, on, off, 1.2.3, 3e]", ["yes", "no", "on", "off", "1.2.3", "3e"]),
    ],
)
def test_load_override_is_yaml(override: str, value: object) -> None:
    section, _, key = override.partition("=")[0].strip().partition(".")
    found = getattr(getattr(load_config("base", [override]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_load_file_scalars(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path,
        "train:\n  learning_rate: 3e-4\nmodel:\n  tie_embeddings: false\ndata:\n  corpus: [yes]\n",
    )
    config = load_config(path)
    assert config.train.learning_rate == 0.0003
    assert config.model.tie_embeddings is False
    assert config.data.corpus == ["yes"]


def test_load_byte_order_mark(tmp_path: Path) -> None:
    assert load_config(yaml_file(tmp_path, "\ufefftrain:\n  epochs: 3\n")).train.epochs == 3


FAULTS = [
    ("train", "epochs", "0", "train.epochs = 0", "at least 1"),
    ("train", "epochs", "-3", "train.epochs = -3", "at least 1"),
    ("train", "epochs", "2.5", "train.epochs = 2.5", "integer"),
    ("train", "epochs", "true", "train.epochs = True", "integer"),
    ("train", "epochs", "'3'", "train.epochs = '3'", "integer"),
    ("train", "epochs", "", "train.epochs = None", "integer"),
    ("train", "epochs", "many", "train.epochs = 'many'", "integer"),
    ("train", "learning_rate", "0", "train.learning_rate = 0", "above 0"),
    ("train", "learning_rate", ".inf", "train.learning_rate = inf", "finite"),
    ("train", "learning_rate", ".nan", "train.learning_rate = nan", ""),
    ("train", "learning_rate", "fast", "train.learning_rate = 'fast'", "number"),
    ("train", "betas", "[0.9]", "train.betas = [0.9]", "2 values"),
    ("train", "betas", "[0.9, 1.0]", "train.betas.1 = 1.0", "below 1"),
    ("train", "betas", "0.9", "train.betas = 0.9", "list"),
    ("train", "seed", "-1", "train.seed = -1", "at least 0"),
    ("train", "precision", "fp16", "train.precision = 'fp16'", "'fp32'"),
    ("train", "batch_tokens", "15", "train.batch_tokens = 15", "at least 16"),
    ("train", "clip_norm", "-1", "train.clip_norm = -1", "at least 0"),
    ("model", "cell", "lstmm", "model.cell = 'lstmm'", "'lstm', 'gru', 'rnn'"),
    ("model", "tie_embeddings", "yes", "model.tie_embeddings = 'yes'", "true or false"),
    ("model", "tie_embeddings", "1", "model.tie_embeddings = 1", "true or false"),
    ("model", "output_dropout", "1", "model.output_dropout = 1", "below 1"),
    (
        "model",
        "output_dropout",
        "-0.1",
        "model.output_dropout = -0.1",
        "at least 0",
    ),
    ("model", "output_dropout", ".nan", "model.output_dropout = nan", ""),
    ("model", "num_layers", "0", "model.num_layers = 0", "at least 1"),
    ("conditions", "form_rate", "1.1", "conditions.form_rate = 1.1", "at most 1"),
    (
        "conditions",
        "author_rate",
        "-0.1",
        "conditions.author_rate = -0.1",
        "at least 0",
    ),
    ("conditions", "title_rate", "true", "conditions.title_rate = True", "number"),
    ("conditions", "author_min_poems", "0", "conditions.author_min_poems = 0", "at least 1"),
    ("train", "init_from", "3", "train.init_from = 3", "string"),
    ("data", "corpus", "tang", "data.corpus = 'tang'", "list"),
    ("data", "corpus", "[3]", "data.corpus.0 = 3", "string"),
    ("data", "max_tokens", "15", "data.max_tokens = 15", "at least 16"),
    ("data", "min_count", "{a: 1}", "data.min_count = {'a': 1}", "integer"),
]


@pytest.mark.parametrize(("section", "key", "value", "shown", "expectation"), FAULTS)
@pytest.mark.parametrize("way", ["file", "override"])
def test_load_reports_bad_value(
    tmp_path: Path, section: str, key: str, value: str, shown: str, expectation: str, way: str
) -> None:
    if way == "file":
        error = refusal(yaml_file(tmp_path, f"{section}:\n  {key}: {value}\n"))
    else:
        error = refusal("base", f"{section}.{key}={value}")
    (fault,) = listed(error)
    found, expected, rest = fault.partition(": expected ")
    assert found == shown
    assert expected
    assert rest
    assert expectation in rest


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train.epoch", "did you mean 'epochs'?"),
        ("train.learning_rat", "did you mean 'learning_rate'?"),
        ("train.batchtokens", "did you mean 'batch_tokens'?"),
        ("model.hiden_size", "did you mean 'hidden_size'?"),
        ("train.zzz", "epochs, batch_tokens, learning_rate"),
        ("trian.epochs", "did you mean 'train'?"),
        ("zzz.epochs", "data, conditions, model, train"),
        ("train.output_dropout", "model.output_dropout'?"),
    ],
)
@pytest.mark.parametrize("way", ["file", "override"])
def test_load_suggests_nearest_key(tmp_path: Path, key: str, hint: str, way: str) -> None:
    section, _, name = key.partition(".")
    if way == "file":
        error = refusal(yaml_file(tmp_path, f"{section}:\n  {name}: 3\n"))
    else:
        error = refusal("base", f"{key}=3")
    (fault,) = listed(error)
    unknown = section if section not in ("data", "conditions", "model", "train") else key
    assert fault.startswith(f"unknown key '{unknown}'")
    assert hint in fault


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, False),
        ({"form_rate": 0.1}, True),
        ({"author_rate": 1}, True),
        ({"title_rate": 0.5}, True),
    ],
    ids=str,
)
def test_conditions_any(rates: dict[str, float], expected: bool) -> None:
    assert build_config({"conditions": rates}).conditions.any is expected


def test_load_reports_all_errors(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path,
        "modle:\n  cell: gru\nmodel:\n  output_dropout: 2\n  cel: gru\ntrain:\n  epochs: 0\n  seed: x\n",
    )
    error = refusal(path, "train.clip_norm=-1", "data.min_count=0", "train.sede=3")
    assert path in error.why
    paths = sorted(fault.split(" = ")[0].split(" (")[0] for fault in listed(error))
    assert paths == [
        "data.min_count",
        "model.output_dropout",
        "train.clip_norm",
        "train.epochs",
        "train.seed",
        "unknown key 'model.cel'",
        "unknown key 'modle'",
        "unknown key 'train.sede'",
    ]


@pytest.mark.parametrize("section", ["3", "[1, 2]", "lstm"])
def test_load_rejects_section_without_keys(tmp_path: Path, section: str) -> None:
    (fault,) = listed(refusal(yaml_file(tmp_path, f"model: {section}\n")))
    assert fault.startswith("model = ")


def test_load_reports_file_error_despite_override(tmp_path: Path) -> None:
    refusal(yaml_file(tmp_path, "model: 3\n"), "model.cell=gru")


@pytest.mark.parametrize("key", ["1", "true", "null"])
def test_load_rejects_non_string_keys(tmp_path: Path, key: str) -> None:
    refusal(yaml_file(tmp_path, f"{key}: 3\n"))
    refusal(yaml_file(tmp_path, f"model:\n  {key}: 3\n"))


@pytest.mark.parametrize(
    "override", ["", "=", "train.epochs", "epochs=4", "a.b.c=4", ".epochs=4", "train.=4", "=4"]
)
def test_load_rejects_malformed_override(override: str) -> None:
    error = refusal("base", override)
    assert "section.key=value" in error.why
    assert "--set train.epochs=4" in error.fix


@pytest.mark.parametrize("value", ["[1", "{", "'", "!!int abc", "\x00", "!tag 3"])
def test_load_rejects_override_of_bad_yaml(value: str) -> None:
    error = refusal("base", f"train.epochs={value}")
    assert "train.epochs" in error.why


@pytest.mark.parametrize(
    "text",
    [
        "train: [",
        "train:\n\tepochs: 3\n",
        "train: 'open",
        "a: b: c",
        "train:\n  epochs: !!int abc\n",
        "train:\n  epochs: " + "1" * 5000,
        "train: " + "[" * 20_000,
        "--- a\n--- b\n",
        "train: !!python/object:os.system {}\n",
    ],
    ids=["bracket", "tab", "quote", "colons", "int", "long", "deep", "two", "python"],
)
def test_load_reports_broken_yaml_on_one_row(tmp_path: Path, text: str) -> None:
    path = yaml_file(tmp_path, text)
    error = refusal(path)
    assert path in error.why
    assert "\n" not in error.why


def test_load_reports_yaml_position(tmp_path: Path) -> None:
    assert "line 3" in refusal(yaml_file(tmp_path, "train:\n  epochs: 3\n  seed: ]\n")).why


def test_load_rejects_non_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("data:\n  corpus: [唐诗]\n".encode("gb18030"))
    assert str(path) in refusal(str(path)).why


@pytest.mark.parametrize(("text", "found"), [("3", "int"), ("- a\n- b\n", "list"), ("lstm", "str")])
def test_load_rejects_file_without_sections(tmp_path: Path, text: str, found: str) -> None:
    path = yaml_file(tmp_path, text)
    error = refusal(path)
    assert path in error.why
    assert found in error.why
    assert "model:" in error.fix


@pytest.mark.parametrize("source", ["bsae", "", "a\x00b", "a" * 300, "nowhere/mine.yaml", "."])
def test_load_unknown_name_lists_names(source: str) -> None:
    error = refusal(source)
    for name in ("tiny", "base", "large", "gru", "rnn"):
        assert name in error.fix


def test_config_is_frozen() -> None:
    config = load_config("tiny")
    with pytest.raises(ValidationError):
        config.train.epochs = 3
    with pytest.raises(ValidationError):
        config.train = Config().train


def test_build_leaves_values_unchanged() -> None:
    values: dict[str, Any] = {"train": {"epochs": 3}}
    assert build_config(values, ["train.epochs=4", "model.cell=rnn"]).train.epochs == 4
    assert values == {"train": {"epochs": 3}}


def test_changes_lists_differing_keys() -> None:
    old = build_config({"train": {"epochs": 3}})
    new = build_config({"train": {"epochs": 4}, "data": {"corpus": ["a"]}})
    assert list(changes(old, new)) == [("data.corpus", [], ["a"]), ("train.epochs", 3, 4)]
    assert list(changes(old, old)) == []


@pytest.mark.parametrize("name", ["tiny", "base", "large", "gru", "rnn", "finetune"])
def test_to_yaml_round_trip(tmp_path: Path, name: str) -> None:
    config = load_config(name, ["train.learning_rate=1e-5", "train.save_interval_seconds=.inf"])
    assert load_config(yaml_file(tmp_path, config.to_yaml())) == config


@pytest.mark.parametrize(
    "path",
    ["data/tang", "yes", "true", "null", "~", "3", "1e3", "0o17", "2001-01-01", "a: b", "诗"],
)
def test_to_yaml_round_trip_of_paths(tmp_path: Path, path: str) -> None:
    config = build_config({"data": {"corpus": [path]}})
    assert load_config(yaml_file(tmp_path, config.to_yaml())) == config


PATHS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    corpus=st.lists(PATHS, max_size=3),
    learning_rate=st.floats(min_value=1e-12, max_value=1e12),
    dropout=st.floats(min_value=0, max_value=1, exclude_max=True),
    seed=st.integers(min_value=0, max_value=2**63 - 1),
    tie_embeddings=st.booleans(),
)
def test_to_yaml_round_trip_of_any(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: list[str],
    learning_rate: float,
    dropout: float,
    seed: int,
    tie_embeddings: bool,
) -> None:
    config = build_config(
        {
            "data": {"corpus": corpus},
            "model": {"input_dropout": dropout, "tie_embeddings": tie_embeddings},
            "train": {"learning_rate": learning_rate, "seed": seed},
        }
    )
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    for with_descriptions in (False, True):
        path.write_bytes(config.to_yaml(with_descriptions=with_descriptions).encode())
        assert load_config(str(path)) == config


KEYS = [(section, key) for section, keys in Config().model_dump().items() for key in keys]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_describe_every_key(section: str, key: str) -> None:
    description = describe(section)[key]
    assert description.endswith(".")
    assert "\n" not in description
    assert len(description) <= 100


def test_to_yaml_precedes_keys_with_descriptions() -> None:
    rows = load_config("tiny").to_yaml(with_descriptions=True).splitlines()
    for section, key in KEYS:
        (index,) = (i for i, row in enumerate(rows) if row.startswith(f"  {key}:"))
        assert rows[index - 1] == f"  # {describe(section)[key]}"


def test_to_yaml_descriptions_are_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    chinese = {describe("train")["epochs"]: "轮数", type(Config().train).__doc__: "训练"}
    monkeypatch.setattr(language, "_catalogue", chinese)
    rows = Config().to_yaml(with_descriptions=True).splitlines()
    assert rows[rows.index("train:") - 1] == "# 训练"
    assert rows[rows.index("  epochs: 8") - 1] == "  # 轮数"


@pytest.mark.parametrize(
    ("path", "renamed"),
    [
        ("train.early_stop_epochs", "train.patience"),
        ("model.tied", "model.tie_embeddings"),
        ("conditions.form", "conditions.form_rate"),
    ],
)
def test_build_config_names_the_new_key(path: str, renamed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("tiny", [f"{path}=1"])
    assert f"unknown key '{path}' (it is now '{renamed}')" in caught.value.why
