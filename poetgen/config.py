"""Every knob, typed: defaults < YAML file < `--set section.key=value`; and what is wrong, explained.

A configuration is frozen once loaded.  The one that a run used is saved beside it, resolved.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poetgen.errors import ConfigError

Cell = Literal["lstm", "gru", "rnn"]
EmbeddingInit = Literal["uniform", "relations"]
Precision = Literal["auto", "fp32", "bf16"]

Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=1, le=16_384)]
WholeNumber = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    # Strict, or `true` would pass for 1 and "3" for 3; an int still passes for a float.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class DataConfig(_Section):
    """What text is trained on."""

    corpus: list[str] = []
    """Files or folders of poems; empty: $POETGEN_CORPUS, else data/tang."""
    extra: list[str] = []
    """More files or folders to train on: the split is that of `corpus` alone, and of these poems those
    that share a line with a held-out poem are left out."""
    min_count: Count = 2
    """Occurrences in the training split that earn a character an id, 1 or more; rarer ones are <unk>."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Training poems of more tokens are cut at a sentence end; 16 or more."""


class ConditionsConfig(_Section):
    """What the model is told of a poem before it begins, each for a share of the training poems.

    Whatever is told to some, and not to all, it can later be told or not.
    """

    form: Share = 0.0
    """Of poems that are given their form, from 0 (the model learns of no form) to 1."""
    author: Share = 0.0
    """Of poems that are given their author, from 0 to 1."""
    title: Share = 0.0
    """Of poems that are given their title, from 0 to 1."""
    author_min_poems: Count = 50
    """Training poems that earn an author a symbol, 1 or more."""

    @property
    def any(self) -> bool:
        return bool(self.form or self.author or self.title)


class ModelConfig(_Section):
    """The shape of the network."""

    cell: Cell = "lstm"
    """lstm, gru or rnn (tanh)."""
    embedding_size: Size = 512
    """Numbers per character, 1 to 16,384."""
    hidden_size: Size = 640
    """Units per layer, 1 to 16,384."""
    num_layers: Annotated[int, Field(ge=1, le=64)] = 2
    """Recurrent layers, one on the other, 1 to 64."""
    tied: bool = True
    """Whether the output projection is the embedding itself."""
    embedding_init: EmbeddingInit = "uniform"
    """uniform (chance), or relations: by the company that characters keep in the training text."""
    embedding_std: Positive = 0.058
    """Standard deviation of the first embeddings, above 0."""
    input_dropout: Rate = 0.3
    """Of the embedded characters, from 0 (none) to below 1."""
    layer_dropout: Rate = 0.3
    """Between recurrent layers, from 0 (none) to below 1."""
    output_dropout: Rate = 0.3
    """Of what the last layer puts out, from 0 (none) to below 1."""
    locked: bool = False
    """Whether these three drop the same features all through a poem, not others at each place."""
    embedding_dropout: Rate = 0.0
    """Of whole characters, each for a batch, from 0 (none) to below 1."""
    weight_dropout: Rate = 0.0
    """Of hidden-to-hidden weights, each for a batch, from 0 (none) to below 1."""


class TrainConfig(_Section):
    """How the network learns."""

    init: str = ""
    """A model to start from (a file, a run folder, a run's name); empty: from chance."""
    epochs: Count = 8
    """Passes over the training text, 1 or more."""
    batch_tokens: Annotated[int, Field(ge=16)] = 8192
    """Tokens a batch, padding included; 16 or more."""
    learning_rate: Positive = 2e-3
    """AdamW's at the end of the warm-up, above 0."""
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    """AdamW's two decay rates, from 0 to below 1."""
    weight_decay: NotNegative = 0.01
    """AdamW's, on matrices only; 0 or more."""
    warmup_steps: WholeNumber = 200
    """Steps in which the learning rate rises from 0; 0 or more."""
    final_rate: Share = 0.0
    """What the cosine ends at, as a share of learning_rate, from 0 to 1 (a constant rate)."""
    kind_weight: NotNegative = 0.0
    """What the kind of the next token (character, comma, stop, end) counts on top of which one it is, 0
    or more; teaches forms."""
    clip_norm: NotNegative = 1.0
    """Largest norm of the whole gradient; 0: no limit."""
    average_decay: Rate = 0.0
    """Of an exponential moving average of the weights, which is then what is validated and kept, from
    0 (no average) to below 1; 0.999 averages over about a thousand steps."""
    precision: Precision = "auto"
    """fp32, bf16 (autocast), or auto: bf16 where the processor is fast at it."""
    early_stop_epochs: WholeNumber = 0
    """Stop after so many epochs without a better validation; 0: never (a cosine pays at its end)."""
    save_every: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between saves of the training state; it is also saved after each epoch and on a signal."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Of the weights, the dropout and the order of the batches."""


class Config(_Section):
    """All of it."""

    data: DataConfig = DataConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def to_yaml(self) -> str:
        """The configuration as a YAML document that `load_config` reads back."""
        return yaml.dump(self.model_dump(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


_SCALARS = {
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan)",
        "-+.0123456789",
    ),
    "bool": ("true|false", "tf"),
    "null": ("null|~|", ["n", "~", ""]),
}
# PyYAML follows YAML 1.1, where 3e-4 is a word, `yes` is true and 010 is 8.  YAML 1.2 knows better.


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars, and no key twice."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's own way)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would take for something else than a string."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


for _kind in (_Loader, _Dumper):
    for _name, (_pattern, _first) in _SCALARS.items():
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first)
        )


def config_names() -> list[str]:
    """The configurations that come with the program, usable as `--config NAME`."""
    return sorted(file.stem for file in _config_folder().glob("*.yaml"))


def load_config(source: str = "base", overrides: Sequence[str] = ()) -> Config:
    """The configuration `source` (a name that comes with the program, or a file) with `overrides`.

    `overrides` are "section.key=value" strings, their values read as YAML.

    Raises:
        ConfigError: with every fault listed: dotted path, value, expectation, nearest key.
    """
    return build_config(_read_yaml(source), overrides, origin=f"configuration {source}")


def build_config(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str = "configuration"
) -> Config:
    """A checked configuration of nested `values` and `overrides`; `origin` names it in errors."""
    # A section whose keys are all commented out reads as None.
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
            "Correct the file or the --set option; `poetgen train --help` shows an example.",
        ) from error


def changes(old: Config, new: Config) -> Iterator[tuple[str, Any, Any]]:
    """The dotted path, old value and new value of each knob in which two configurations differ."""
    for section, values in old.model_dump().items():
        for key, value in values.items():
            other = getattr(getattr(new, section), key)
            if other != value:
                yield f"{section}.{key}", value, other


def _config_folder() -> Path:
    package = Path(__file__).parent
    packed = package / "configs"  # in a wheel; in a checkout they lie beside the package
    return packed if packed.is_dir() else package.parent / "configs"


def _read_yaml(source: str) -> dict[str, Any]:
    path = Path(source)
    try:
        if not path.is_file():
            path = _config_folder() / f"{source}.yaml"
        is_there = path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        is_there = False
    if not is_there:
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
            f"{path} holds {type(content).__name__}, not sections",
            "Expected sections data:, conditions:, model: and train: with keys below them.",
        )
    return content


def _parse(text: str) -> Any:
    """The content of a YAML text; raises ValueError with the reason."""
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
    if isinstance(section, dict):  # else the file is at fault, and is told so
        section[keys[1]] = value


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        path = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            yield f"unknown key '{path}'{_nearest(path)}"
        else:
            expected = fault["msg"].removeprefix("Input should be ")
            expected = expected.replace("List should have", "a list of")
            yield f"{path} = {fault['input']!r}: expected {expected}"


def _nearest(path: str) -> str:
    """A hint: the same key in another section, a key spelled alike, or all there are."""
    section, _, key = path.rpartition(".")
    keys = {name: list(values) for name, values in Config().model_dump().items()}
    elsewhere = [f"{name}.{key}" for name in keys if key in keys[name]]
    known = keys.get(section, list(keys))
    alike = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if elsewhere or alike:
        return f" (did you mean '{(elsewhere or alike)[0]}'?)"
    return f" (known: {', '.join(known)})"
