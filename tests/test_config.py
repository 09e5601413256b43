"""`poetgen.config`: defaults < file < --set, and every fault told at once."""

from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from poetgen.config import Config, build_config, changes, config_names, load_config
from poetgen.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "configs"
COMMANDS = {"finetune": "poetgen train --init MODEL --corpus my-poems.txt"}
"""Of those that no --config names."""


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


def faults(error: ConfigError) -> list[str]:
    """The lines of the list of faults."""
    head, *lines = error.why.splitlines()
    assert head.endswith("is not valid:")
    assert all(line.startswith("  ") for line in lines)
    return [line.strip() for line in lines]


def test_every_configuration_loads_and_opens_with_its_command() -> None:
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
def test_the_configurations_have_the_cell_of_their_name(name: str, cell: str) -> None:
    assert load_config(name).model.cell == cell


def test_base_is_the_default() -> None:
    assert load_config() == load_config("base")


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    assert build_config({}) == Config()
    assert load_config(yaml_file(tmp_path, "")) == Config()
    assert load_config(yaml_file(tmp_path, "# only a comment\n")) == Config()


def test_an_override_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "train:\n  epochs: 3\n  seed: 4\n")
    config = load_config(path, ["train.epochs=5", "model.cell=gru"])
    assert config.train.epochs == 5
    assert config.train.seed == 4
    assert config.train.batch_tokens == Config().train.batch_tokens
    assert config.model.cell == "gru"


def test_the_last_of_equal_overrides_wins() -> None:
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
        ("model.tied=false", False),
        ("model.tied=true", True),
        ("data.corpus=[a, 'b=c']", ["a", "b=c"]),
        ("data.corpus=[yes, no, on, off, 1.2.3, 3e]", ["yes", "no", "on", "off", "1.2.3", "3e"]),
    ],
)
def test_the_value_of_an_override_is_read_as_yaml(override: str, value: object) -> None:
    section, _, key = override.partition("=")[0].strip().partition(".")
    found = getattr(getattr(load_config("base", [override]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_numbers_and_words_in_a_file_are_read_as_in_an_override(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path, "train:\n  learning_rate: 3e-4\nmodel:\n  tied: false\ndata:\n  corpus: [yes]\n"
    )
    config = load_config(path)
    assert config.train.learning_rate == 0.0003
    assert config.model.tied is False
    assert config.data.corpus == ["yes"]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load_config(yaml_file(tmp_path, "\ufefftrain:\n  epochs: 3\n")).train.epochs == 3


FAULTS = [
    ("train", "epochs", "0", "train.epochs = 0", "greater than or equal to 1"),
    ("train", "epochs", "-3", "train.epochs = -3", "greater than or equal to 1"),
    ("train", "epochs", "2.5", "train.epochs = 2.5", "integer"),
    ("train", "epochs", "true", "train.epochs = True", "integer"),
    ("train", "epochs", "'3'", "train.epochs = '3'", "integer"),
    ("train", "epochs", "", "train.epochs = None", "integer"),
    ("train", "epochs", "many", "train.epochs = 'many'", "integer"),
    ("train", "learning_rate", "0", "train.learning_rate = 0", "greater than 0"),
    ("train", "learning_rate", ".inf", "train.learning_rate = inf", "finite"),
    ("train", "learning_rate", ".nan", "train.learning_rate = nan", ""),
    ("train", "learning_rate", "fast", "train.learning_rate = 'fast'", "number"),
    ("train", "betas", "[0.9]", "train.betas = [0.9]", "2 items"),
    ("train", "betas", "[0.9, 1.0]", "train.betas.1 = 1.0", "less than 1"),
    ("train", "betas", "0.9", "train.betas = 0.9", "list"),
    ("train", "seed", "-1", "train.seed = -1", "greater than or equal to 0"),
    ("train", "precision", "fp16", "train.precision = 'fp16'", "'fp32'"),
    ("train", "batch_tokens", "15", "train.batch_tokens = 15", "greater than or equal to 16"),
    ("train", "clip_norm", "-1", "train.clip_norm = -1", "greater than or equal to 0"),
    ("model", "cell", "lstmm", "model.cell = 'lstmm'", "'lstm', 'gru' or 'rnn'"),
    ("model", "tied", "yes", "model.tied = 'yes'", "boolean"),
    ("model", "tied", "1", "model.tied = 1", "boolean"),
    ("model", "output_dropout", "1", "model.output_dropout = 1", "less than 1"),
    (
        "model",
        "output_dropout",
        "-0.1",
        "model.output_dropout = -0.1",
        "greater than or equal to 0",
    ),
    ("model", "output_dropout", ".nan", "model.output_dropout = nan", ""),
    ("model", "num_layers", "0", "model.num_layers = 0", "greater than or equal to 1"),
    ("conditions", "form", "1.1", "conditions.form = 1.1", "less than or equal to 1"),
    ("conditions", "author", "-0.1", "conditions.author = -0.1", "greater than or equal to 0"),
    ("conditions", "title", "true", "conditions.title = True", "number"),
    ("conditions", "author_min_poems", "0", "conditions.author_min_poems = 0", "equal to 1"),
    ("train", "init", "3", "train.init = 3", "string"),
    ("data", "corpus", "tang", "data.corpus = 'tang'", "list"),
    ("data", "corpus", "[3]", "data.corpus.0 = 3", "string"),
    ("data", "max_tokens", "15", "data.max_tokens = 15", "greater than or equal to 16"),
    ("data", "min_count", "{a: 1}", "data.min_count = {'a': 1}", "integer"),
]


@pytest.mark.parametrize(("section", "key", "value", "place", "expectation"), FAULTS)
@pytest.mark.parametrize("way", ["file", "override"])
def test_a_bad_value_is_told_with_its_path_and_what_was_expected(
    tmp_path: Path, section: str, key: str, value: str, place: str, expectation: str, way: str
) -> None:
    if way == "file":
        error = refusal(yaml_file(tmp_path, f"{section}:\n  {key}: {value}\n"))
    else:
        error = refusal("base", f"{section}.{key}={value}")
    (fault,) = faults(error)
    found, expected, rest = fault.partition(": expected ")
    assert found == place
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
def test_an_unknown_key_is_told_with_the_nearest_known_one(
    tmp_path: Path, key: str, hint: str, way: str
) -> None:
    section, _, name = key.partition(".")
    if way == "file":
        error = refusal(yaml_file(tmp_path, f"{section}:\n  {name}: 3\n"))
    else:
        error = refusal("base", f"{key}=3")
    (fault,) = faults(error)
    unknown = section if section not in ("data", "conditions", "model", "train") else key
    assert fault.startswith(f"unknown key '{unknown}'")
    assert hint in fault


@pytest.mark.parametrize(
    ("rates", "expected"),
    [({}, False), ({"form": 0.1}, True), ({"author": 1}, True), ({"title": 0.5}, True)],
    ids=str,
)
def test_conditions_are_on_when_any_of_them_is_given_to_a_poem(
    rates: dict[str, float], expected: bool
) -> None:
    assert build_config({"conditions": rates}).conditions.any is expected


def test_all_faults_of_file_and_overrides_are_told_at_once(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path,
        "modle:\n  cell: gru\nmodel:\n  output_dropout: 2\n  cel: gru\ntrain:\n  epochs: 0\n  seed: x\n",
    )
    error = refusal(path, "train.clip_norm=-1", "data.min_count=0", "train.sede=3")
    assert path in error.why
    places = sorted(fault.split(" = ")[0].split(" (")[0] for fault in faults(error))
    assert places == [
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
def test_a_section_that_is_no_section_is_a_fault(tmp_path: Path, section: str) -> None:
    (fault,) = faults(refusal(yaml_file(tmp_path, f"model: {section}\n")))
    assert fault.startswith("model = ")


def test_an_override_does_not_hide_a_fault_of_the_file(tmp_path: Path) -> None:
    refusal(yaml_file(tmp_path, "model: 3\n"), "model.cell=gru")


@pytest.mark.parametrize("key", ["1", "true", "null"])
def test_a_key_that_is_no_word_is_a_fault(tmp_path: Path, key: str) -> None:
    refusal(yaml_file(tmp_path, f"{key}: 3\n"))
    refusal(yaml_file(tmp_path, f"model:\n  {key}: 3\n"))


@pytest.mark.parametrize(
    "override", ["", "=", "train.epochs", "epochs=4", "a.b.c=4", ".epochs=4", "train.=4", "=4"]
)
def test_an_override_of_another_form_is_told_with_an_example(override: str) -> None:
    error = refusal("base", override)
    assert "section.key=value" in error.why
    assert "--set train.epochs=4" in error.fix


@pytest.mark.parametrize("value", ["[1", "{", "'", "!!int abc", "\x00", "!tag 3"])
def test_an_override_whose_value_is_no_yaml_is_told(value: str) -> None:
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
def test_a_broken_yaml_file_is_told_in_one_line_with_its_name(tmp_path: Path, text: str) -> None:
    path = yaml_file(tmp_path, text)
    error = refusal(path)
    assert path in error.why
    assert "\n" not in error.why


def test_the_place_of_a_yaml_fault_is_told(tmp_path: Path) -> None:
    assert "line 3" in refusal(yaml_file(tmp_path, "train:\n  epochs: 3\n  seed: ]\n")).why


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("data:\n  corpus: [唐诗]\n".encode("gb18030"))
    assert str(path) in refusal(str(path)).why


@pytest.mark.parametrize(("text", "kind"), [("3", "int"), ("- a\n- b\n", "list"), ("lstm", "str")])
def test_a_file_without_sections_is_told(tmp_path: Path, text: str, kind: str) -> None:
    path = yaml_file(tmp_path, text)
    error = refusal(path)
    assert path in error.why
    assert kind in error.why
    assert "model:" in error.fix


@pytest.mark.parametrize("source", ["bsae", "", "a\x00b", "a" * 300, "nowhere/mine.yaml", "."])
def test_an_unknown_configuration_is_told_with_the_names_there_are(source: str) -> None:
    error = refusal(source)
    for name in ("tiny", "base", "large", "gru", "rnn"):
        assert name in error.fix


def test_a_configuration_is_frozen() -> None:
    config = load_config("tiny")
    with pytest.raises(ValidationError):
        config.train.epochs = 3
    with pytest.raises(ValidationError):
        config.train = Config().train


def test_building_a_configuration_leaves_the_values_as_they_were() -> None:
    values: dict[str, Any] = {"train": {"epochs": 3}}
    assert build_config(values, ["train.epochs=4", "model.cell=rnn"]).train.epochs == 4
    assert values == {"train": {"epochs": 3}}


def test_changes_names_each_knob_that_differs() -> None:
    old = build_config({"train": {"epochs": 3}})
    new = build_config({"train": {"epochs": 4}, "data": {"corpus": ["a"]}})
    assert list(changes(old, new)) == [("data.corpus", [], ["a"]), ("train.epochs", 3, 4)]
    assert list(changes(old, old)) == []


@pytest.mark.parametrize("name", ["tiny", "base", "large", "gru", "rnn", "finetune"])
def test_a_saved_configuration_is_read_back(tmp_path: Path, name: str) -> None:
    config = load_config(name, ["train.learning_rate=1e-5", "train.save_every=.inf"])
    assert load_config(yaml_file(tmp_path, config.to_yaml())) == config


@pytest.mark.parametrize(
    "path",
    ["data/tang", "yes", "true", "null", "~", "3", "1e3", "0o17", "2001-01-01", "a: b", "诗"],
)
def test_a_saved_corpus_path_is_read_back(tmp_path: Path, path: str) -> None:
    config = build_config({"data": {"corpus": [path]}})
    assert load_config(yaml_file(tmp_path, config.to_yaml())) == config


PATHS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    corpus=st.lists(PATHS, max_size=3),
    learning_rate=st.floats(min_value=1e-12, max_value=1e12),
    dropout=st.floats(min_value=0, max_value=1, exclude_max=True),
    seed=st.integers(min_value=0, max_value=2**63 - 1),
    tied=st.booleans(),
)
def test_any_saved_configuration_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: list[str],
    learning_rate: float,
    dropout: float,
    seed: int,
    tied: bool,
) -> None:
    config = build_config(
        {
            "data": {"corpus": corpus},
            "model": {"input_dropout": dropout, "tied": tied},
            "train": {"learning_rate": learning_rate, "seed": seed},
        }
    )
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(config.to_yaml().encode())
    assert load_config(str(path)) == config
