"""The typed configuration: defaults < YAML file < `--set section.key=value`.

All errors of a configuration are reported at once.  A loaded configuration is frozen; a run folder
contains the resolved configuration of its run.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poetgen.errors import ConfigError

Cell = Literal["lstm", "gru", "rnn"]
EmbeddingInit = Literal["uniform", "cooccurrence"]
Precision = Literal["auto", "fp32", "bf16"]

Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=1, le=16_384)]
WholeNumber = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    # Strict, so that `true` is not 1 and "3" is not 3; an int is still a valid float.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class DataConfig(_Section):
    """The training text."""

    corpus: list[str] = []
    """Files or folders of poems, or `starter`; empty: $POETGEN_CORPUS, else data/tang."""
    extra_train: list[str] = []
    """Additional training poems; those that share a line with a held-out poem are dropped."""
    min_count: Count = 2
    """Occurrences in the training split that a character needs for an id, at least 1."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Tokens after which a training poem is truncated at a sentence end, at least 16."""


class ConditionsConfig(_Section):
    """The conditions that the model sees before a poem, each sampled per poem and epoch."""

    form_rate: Share = 0.0
    """Fraction of poems conditioned on their form, 0 (the model learns no form) to 1."""
    author_rate: Share = 0.0
    """Fraction of poems conditioned on their author, 0 to 1."""
    title_rate: Share = 0.0
    """Fraction of poems conditioned on their title, 0 to 1."""
    author_min_poems: Count = 50
    """Training poems that an author needs for a symbol, at least 1."""

    @property
    def any(self) -> bool:
        """Whether any condition is enabled."""
        return bool(self.form_rate or self.author_rate or self.title_rate)


class ModelConfig(_Section):
    """The network."""

    cell: Cell = "lstm"
    """Recurrent cell: lstm, gru or rnn (tanh)."""
    embedding_size: Size = 512
    """Dimensions of the character embedding, 1 to 16,384."""
    hidden_size: Size = 640
    """Units per recurrent layer, 1 to 16,384."""
    num_layers: Annotated[int, Field(ge=1, le=64)] = 2
    """Stacked recurrent layers, 1 to 64."""
    tie_embeddings: bool = True
    """Whether the output projection shares the weights of the embedding."""
    embedding_init: EmbeddingInit = "uniform"
    """Initial embedding: uniform (random) or cooccurrence (SVD of co-occurrence counts)."""
    embedding_std: Positive = 0.058
    """Standard deviation of the initial embedding, above 0."""
    input_dropout: Rate = 0.3
    """Dropout rate of the embedded characters, 0 to below 1."""
    layer_dropout: Rate = 0.3
    """Dropout rate between recurrent layers, 0 to below 1."""
    output_dropout: Rate = 0.3
    """Dropout rate of the last layer's output, 0 to below 1."""
    variational_dropout: bool = False
    """Whether these three dropouts use one mask per poem instead of one per time step."""
    embedding_dropout: Rate = 0.0
    """Rate at which whole characters are dropped, per batch, 0 to below 1."""
    weight_dropout: Rate = 0.0
    """Rate at which hidden-to-hidden weights are dropped, per batch, 0 to below 1."""


class TrainConfig(_Section):
    """The training run."""

    init_from: str = ""
    """Model to start from (a file, a run folder or the name of a run); empty: random weights."""
    epochs: Count = 8
    """Passes over the training text, at least 1."""
    batch_tokens: Annotated[int, Field(ge=16)] = 8192
    """Tokens per batch, padding included, at least 16."""
    learning_rate: Positive = 2e-3
    """Peak learning rate of AdamW, reached after the warm-up, above 0."""
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    """Decay rates of the two AdamW moments, each 0 to below 1."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW, applied to matrices only, at least 0."""
    warmup_steps: WholeNumber = 200
    """Steps of linear warm-up of the learning rate from 0, at least 0."""
    min_lr_ratio: Share = 0.0
    """Final learning rate of the cosine schedule over learning_rate, 0 to 1 (constant)."""
    token_class_loss_weight: NotNegative = 0.0
    """Weight of the additional loss on token classes (character, comma, stop, end), at least 0."""
    clip_norm: NotNegative = 1.0
    """Maximum norm of the gradient, at least 0; 0: no clipping."""
    ema_decay: Rate = 0.0
    """Decay of the moving average of weights that is validated and saved, 0 (off) to below 1."""
    precision: Precision = "auto"
    """Arithmetic: fp32, bf16 (autocast), or auto: bf16 on hardware with fast bf16."""
    patience: WholeNumber = 0
    """Epochs without a better validation loss before training stops, at least 0; 0: never."""
    save_interval_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between saves of the training state, above 0; each epoch and signal also saves."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the weights, the dropout and the batch order, 0 to 2**63 - 1."""


class Config(_Section):
    """A complete configuration; a saved run contains its resolved one."""

    data: DataConfig = DataConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def to_yaml(self, *, with_descriptions: bool = False) -> str:
        """Return a YAML document that `load_config` reads back, optionally with comments."""
        if not with_descriptions:
            return _to_yaml(self.model_dump())
        blocks = []
        for section, values in self.model_dump().items():
            keys = "".join(
                f"# {description}\n{_to_yaml({key: values[key]})}"
                for key, description in describe(section).items()
            )
            head = f"# {type(getattr(self, section)).__doc__}\n{section}:\n"
            blocks.append(head + indent(keys, "  "))
        return "\n".join(blocks)


def describe(section: str) -> dict[str, str]:
    """Return the one-line description of each key of `section` (data, conditions, model, train)."""
    values: _Section = getattr(Config(), section)
    return {key: field.description or "" for key, field in type(values).model_fields.items()}


_SCALARS = {
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan)",
        "-+.0123456789",
    ),
    "bool": ("true|false", "tf"),
    "null": ("null|~|", ["n", "~", ""]),
}
# The scalars of YAML 1.2.  PyYAML implements 1.1: 3e-4 is a string, `yes` is true, 010 is 8.


class _Loader(yaml.SafeLoader):
    """Resolves the scalars of YAML 1.2 and rejects duplicate keys."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (the interface of PyYAML)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} occurs twice")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that `_Loader` would resolve to another type."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


for _class in (_Loader, _Dumper):
    for _name, (_pattern, _first) in _SCALARS.items():
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first)
        )


def config_names() -> list[str]:
    """Return the names of the bundled configurations, usable as `--config NAME`."""
    return sorted(file.stem for file in _config_folder().glob("*.yaml"))


def load_config(source: str = "base", overrides: Sequence[str] = ()) -> Config:
    """Load the configuration `source`, a file or the name of a bundled one, with `overrides`.

    `overrides` are "section.key=value" strings whose values are YAML.

    Raises:
        ConfigError: lists every error with its dotted path, value, expectation or nearest key.
    """
    return build_config(_read_yaml(source), overrides, origin=f"configuration {source}")


def load_saved_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Load the configuration that was saved with a run, of this format version or an older one.

    Raises:
        ConfigError: The file is missing or not valid.
    """
    return build_config(migrate(_read_yaml(str(path))), overrides, origin=f"configuration {path}")


def build_config(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str = "configuration"
) -> Config:
    """Validate nested `values` with `overrides`; `origin` names them in errors."""
    # YAML reads a section whose keys are all commented out as None.
    merged: dict[str, Any] = {
        key: dict(value or {}) if isinstance(value, Mapping | None) else value
        for key, value in values.items()
    }
    for override in overrides:
        _override(merged, override)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        faults = "\n".join(f"  {line}" for line in _explain(error))
        raise ConfigError(
            f"{origin} is not valid:\n{faults}",
            "Correct the file or the --set option; `poetgen config` prints all keys.",
        ) from error


RENAMED_KEYS = {
    "data": {"extra": "extra_train"},
    "conditions": {"form": "form_rate", "author": "author_rate", "title": "title_rate"},
    "model": {"tied": "tie_embeddings", "locked": "variational_dropout"},
    "train": {
        "init": "init_from",
        "final_rate": "min_lr_ratio",
        "kind_weight": "token_class_loss_weight",
        "average_decay": "ema_decay",
        "early_stop_epochs": "patience",
        "save_every": "save_interval_seconds",
    },
}
"""By section: the keys of format version 1 and their current names."""


def migrate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested `values` of a version 1 configuration with current keys.  Idempotent."""
    migrated: dict[str, Any] = {}
    for section, keys in values.items():
        renamed = RENAMED_KEYS.get(section, {})
        migrated[section] = (
            {renamed.get(key, key): value for key, value in keys.items()}
            if isinstance(keys, Mapping)
            else keys
        )
    model = migrated.get("model")
    if isinstance(model, dict) and model.get("embedding_init") == "relations":
        model["embedding_init"] = "cooccurrence"
    return migrated


def changes(old: Config, new: Config) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted path, old value and new value of each key that differs."""
    for section, values in old.model_dump().items():
        for key, value in values.items():
            other = getattr(getattr(new, section), key)
            if other != value:
                yield f"{section}.{key}", value, other


def _config_folder() -> Path:
    package = Path(__file__).parent
    bundled = package / "configs"  # in a wheel; a checkout has them next to the package
    return bundled if bundled.is_dir() else package.parent / "configs"


def _read_yaml(source: str) -> dict[str, Any]:
    path = Path(source)
    try:
        if not path.is_file():
            path = _config_folder() / f"{source}.yaml"
        exists = path.is_file()
    except (OSError, ValueError):  # a name that is too long or contains a NUL
        exists = False
    if not exists:
        raise ConfigError(
            f"there is no configuration {source}",
            f"Name a file, or one of: {', '.join(config_names())}.",
        )
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path} cannot be read as YAML: {reason}", "Correct the file."
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} contains {type(content).__name__}, not sections",
            "Expected sections data:, conditions:, model: and train: with keys below them.",
        )
    return content


def _to_yaml(values: Mapping[str, Any]) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _parse(text: str) -> Any:
    """Return the content of a YAML text; raise ValueError with the reason."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) != 2 or not all(keys):
        raise ConfigError(
            f"--set {override} is not of the form section.key=value",
            "For example: --set train.epochs=4",
        )
    try:
        value = _parse(text)
    except ValueError as error:
        raise ConfigError(
            f"--set {override}: the value cannot be read as YAML", "Quote it, or correct it."
        ) from error
    section = values.setdefault(keys[0], {})
    if isinstance(section, dict):  # else validation reports the file's error
        section[keys[1]] = value


def _explain(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False):
        path = ".".join(map(str, one["loc"]))
        if one["type"] == "extra_forbidden":
            yield f"unknown key '{path}'{_nearest(path)}"
        else:
            expected = one["msg"].removeprefix("Input should be ")
            expected = expected.replace("List should have", "a list of")
            yield f"{path} = {one['input']!r}: expected {expected}"


def _nearest(path: str) -> str:
    """Return a hint: the new name of a key, the key in another section, a similar key, or all keys."""
    section, _, key = path.rpartition(".")
    if renamed := RENAMED_KEYS.get(section, {}).get(key):
        return f" (it is now '{section}.{renamed}')"
    keys = {name: list(values) for name, values in Config().model_dump().items()}
    elsewhere = [f"{name}.{key}" for name in keys if key in keys[name]]
    known = keys.get(section, list(keys))
    alike = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if elsewhere or alike:
        return f" (did you mean '{(elsewhere or alike)[0]}'?)"
    return f" (known: {', '.join(known)})"
