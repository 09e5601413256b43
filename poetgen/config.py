"""The typed configuration: defaults < YAML file < `--set section.key=value`.

All errors of a configuration are reported at once.  A loaded configuration is frozen; a run folder
contains the resolved configuration of its run.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poetgen.errors import ConfigError, shorten
from poetgen.files import is_special, read_input, read_reason
from poetgen.language import tr, tr_plural

Cell = Literal["lstm", "gru", "rnn"]
EmbeddingInit = Literal["uniform", "cooccurrence"]
ReuseTerm = Literal["none", "fixed", "gated"]
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
    """Files or folders of additional training poems; those near a held-out poem are dropped."""
    min_count: Count = 2
    """Occurrences in the training split that a character needs to enter the vocabulary, at least 1."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Maximum tokens per training poem, at least 16; longer ones are truncated at a sentence end."""


class ConditionsConfig(_Section):
    """Conditions that precede a poem (form, author, title), sampled per poem and epoch."""

    form_rate: Share = 0.0
    """Probability that a poem is conditioned on its form, 0 to 1; 0: the model learns no forms."""
    author_rate: Share = 0.0
    """Probability that a poem is conditioned on its author, 0 to 1; 0: it learns no authors."""
    title_rate: Share = 0.0
    """Probability that a poem is conditioned on its title, 0 to 1; 0: it learns no titles."""
    author_min_poems: Count = 50
    """Training poems that an author needs for a condition symbol, at least 1."""

    @property
    def any(self) -> bool:
        """Whether any condition is enabled."""
        return bool(self.form_rate or self.author_rate or self.title_rate)


class ModelConfig(_Section):
    """The architecture and dropout of the network."""

    cell: Cell = "lstm"
    """Recurrent cell: lstm, gru or rnn (tanh)."""
    embedding_size: Size = 512
    """Units of the character embedding, 1 to 16,384."""
    hidden_size: Size = 640
    """Units per recurrent layer, 1 to 16,384."""
    num_layers: Annotated[int, Field(ge=1, le=64)] = 2
    """Number of stacked recurrent layers, 1 to 64."""
    tie_embeddings: bool = True
    """Share the weights of the output projection with the embedding, true or false."""
    verse_inputs: bool = False
    """Also read line, position, facing character of the line before and last rhyme, true or false."""
    reuse_term: ReuseTerm = "none"
    """Learned term on the logits of characters already used in the poem: none, fixed or gated."""
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
    """Use one mask per poem, not one per time step, for these three dropouts, true or false."""
    embedding_dropout: Rate = 0.0
    """Dropout rate of whole characters, drawn once per batch, 0 to below 1."""
    weight_dropout: Rate = 0.0
    """Dropout rate of hidden-to-hidden weights, drawn once per batch, 0 to below 1."""


class TrainConfig(_Section):
    """Optimization, precision, saving and logging of a run."""

    init_from: str = ""
    """Model to start from: a file, a run folder or the name of a run; empty: random weights."""
    epochs: Count = 8
    """Passes over the training text, at least 1."""
    batch_tokens: Annotated[int, Field(ge=16)] = 8192
    """Tokens per batch, padding included, at least 16."""
    learning_rate: Positive = 2e-3
    """Peak learning rate of AdamW, reached after the warm-up, above 0."""
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    """Decay rates of the first and second moments of AdamW, each 0 to below 1."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW, applied to matrices only, at least 0."""
    warmup_steps: WholeNumber = 200
    """Steps in which the learning rate rises linearly from 0, at least 0."""
    min_lr_ratio: Share = 0.0
    """Final learning rate of the cosine schedule as a fraction of the peak, 0 to 1 (constant)."""
    token_class_loss_weight: NotNegative = 0.0
    """Weight of the loss on token classes (character, comma, stop, end), at least 0; 0: off."""
    clip_norm: NotNegative = 1.0
    """Maximum gradient norm, at least 0; 0: no clipping."""
    ema_decay: Rate = 0.0
    """Decay of the weight average that is validated and saved, 0 to below 1; 0: no averaging."""
    precision: Precision = "auto"
    """Arithmetic: fp32, bf16 (autocast), or auto (bf16 on hardware with fast bf16)."""
    patience: WholeNumber = 0
    """Epochs without a better validation loss before training stops, at least 0; 0: no early stop."""
    save_interval_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between saves of the training state, above 0; epoch ends and signals also save."""
    tensorboard: bool = False
    """Also write a TensorBoard log into the run folder (extra `tensorboard`), true or false."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the initial weights, the dropout and the batch order, 0 to 2**63 - 1."""


class Config(_Section):
    """A complete configuration; a saved run contains its resolved one."""

    data: DataConfig = DataConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def to_yaml(self, *, with_descriptions: bool = False) -> str:
        """Return a YAML document that `load_config` reads back.

        `with_descriptions` adds a comment above each key, in the current language.
        """
        if not with_descriptions:
            return _to_yaml(self.model_dump())
        blocks = []
        for section, values in self.model_dump().items():
            keys = "".join(
                f"# {tr(description)}\n{_to_yaml({key: values[key]})}"
                for key, description in describe(section).items()
            )
            head = f"# {tr(type(getattr(self, section)).__doc__ or '')}\n{section}:\n"
            blocks.append(head + indent(keys, "  "))
        return "\n".join(blocks)


def describe(section: str) -> dict[str, str]:
    """Return the one-line English description of each key of `section`."""
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


MAX_CONFIG_BYTES = 2**17
"""Limit of a configuration file; reading this much YAML takes about a second."""
MAX_VALUES = 5000
"""Limit of the keys and values of a configuration, those that an alias repeats included."""
MAX_DEPTH = 10
"""Limit of lists and mappings within each other; a configuration has three."""
MAX_FAULTS = 20
"""Number of faults that are listed."""


class _Loader(yaml.SafeLoader):
    """Resolves the scalars of YAML 1.2; rejects duplicate keys, tags, and what exceeds the limits."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (the interface of PyYAML)

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._num_values = self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}
        """Number of values in each finished node."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise _limit(tr("tags such as {tag} are not supported", tag=shorten(str(event.tag))))
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _limit(tr("nested deeper than {limit} levels", limit=MAX_DEPTH))
        num_before = self._num_values
        node = super().compose_node(parent, index)
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _limit(tr("an alias names a value that contains it"))
            self._num_values += self._sizes[node]
        else:
            self._num_values += 1
            self._sizes[node] = self._num_values - num_before
        if self._num_values > MAX_VALUES:
            raise _limit(tr("more than {limit:,} keys and values", limit=MAX_VALUES))
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value.__hash__ and key.value in seen:
                raise _limit(tr("the key {key} occurs twice", key=shorten(key.value)))
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _limit(why: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, why)


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
        ConfigError: Lists every error with its dotted path, value, expectation or nearest key.
    """
    return build_config(
        _read_yaml(source), overrides, origin=tr("configuration {name}", name=source)
    )


def load_saved_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Load the configuration that was saved with a run, of this format version or an older one.

    Raises:
        ConfigError: The file is missing or not valid.
    """
    origin = tr("configuration {name}", name=path)
    return build_config(migrate(_read_yaml(str(path))), overrides, origin=origin)


def build_config(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str = "configuration"
) -> Config:
    """Validate nested `values` with `overrides`; `origin` names them in errors.

    Raises:
        ConfigError: Lists every error.
    """
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
            tr("{origin} is not valid:", origin=origin) + f"\n{faults}",
            tr("Correct the file or the --set option; `poetgen config` prints all keys."),
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
    # os.path, not Path: it returns False for a name that is too long or contains a NUL.
    if not os.path.isfile(path) and not is_special(path):  # noqa: PTH113
        path = _config_folder() / f"{source}.yaml"
    if not os.path.exists(path):  # noqa: PTH110
        raise ConfigError(
            tr("there is no configuration {source}", source=shorten(source)),
            tr("Name a file, or one of: {names}.", names=", ".join(config_names())),
        )
    try:
        content = _parse(read_input(path, MAX_CONFIG_BYTES).decode("utf-8"))
    except (ValueError, OSError) as error:
        reason = read_reason(error) if isinstance(error, OSError) else " ".join(str(error).split())
        raise ConfigError(
            tr("{path} cannot be read as YAML: {reason}", path=path, reason=reason),
            tr("Correct the file."),
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        found = type(content).__name__
        raise ConfigError(
            tr("{path} contains {found}, not sections", path=path, found=found),
            tr("Write sections data:, conditions:, model: and train: with their keys below them."),
        )
    return content


def _to_yaml(values: Mapping[str, Any]) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _parse(text: str) -> Any:
    """Return the content of a YAML text; raise ValueError with the reason."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) != 2 or not all(keys):
        raise ConfigError(
            tr("--set {override} is not of the form section.key=value", override=shorten(override)),
            tr("For example: --set train.epochs=4"),
        )
    try:
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError(tr("it has more than {limit:,} bytes", limit=MAX_CONFIG_BYTES))
        value = _parse(text)
    except ValueError as error:
        raise ConfigError(
            tr("--set {override}: the value cannot be read as YAML", override=shorten(override)),
            tr("Quote the value, or correct it."),
        ) from error
    section = values.setdefault(keys[0], {})
    if isinstance(section, dict):  # else validation reports the file's error
        section[keys[1]] = value


def _explain(error: ValidationError) -> Iterator[str]:
    faults = error.errors(include_url=False)
    for one in faults[:MAX_FAULTS]:
        path = ".".join(shorten(" ".join(str(part).split())) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            yield tr("unknown key '{key}'", key=path) + _nearest(path)
        else:
            expected = _expectation(one["type"], one.get("ctx", {}))
            expected = expected or one["msg"].removeprefix("Input should be ")
            found = tr("expected {expected}", expected=expected)
            yield f"{path} = {shorten(repr(one['input']))}: {found}"
    if (num_more := len(faults) - MAX_FAULTS) > 0:
        yield tr_plural(num_more, "and {num:,} more fault", "and {num:,} more faults")


def _expectation(error_type: str, context: Mapping[str, Any]) -> str:
    """Return what a value of pydantic's error type `error_type` should be; empty for a rare type."""
    limit = next(
        (f"{context[key]:,.15g}" for key in ("gt", "ge", "lt", "le") if key in context), ""
    )
    match error_type:
        case "greater_than":
            return tr("a number above {limit}", limit=limit)
        case "greater_than_equal":
            return tr("a number of at least {limit}", limit=limit)
        case "less_than":
            return tr("a number below {limit}", limit=limit)
        case "less_than_equal":
            return tr("a number of at most {limit}", limit=limit)
        case "literal_error":
            return tr("one of {values}", values=context["expected"].replace(" or ", ", "))
        case "too_short" | "too_long":
            num = context.get("min_length", context.get("max_length"))
            return tr("a list of {num} values", num=num)
        case "finite_number":
            return tr("a finite number")
        case "int_type" | "int_from_float":
            return tr("an integer")
        case "float_type":
            return tr("a number")
        case "bool_type":
            return tr("true or false")
        case "string_type":
            return tr("a string")
        case "list_type":
            return tr("a list")
        case "model_type":
            return tr("a section with keys below it")
    return ""


def _nearest(path: str) -> str:
    """Return a hint: the new name of a key, the key in another section, a similar key, or all keys."""
    section, _, key = path.rpartition(".")
    if renamed := RENAMED_KEYS.get(section, {}).get(key):
        return tr(" (it is now '{key}')", key=f"{section}.{renamed}")
    keys = {name: list(values) for name, values in Config().model_dump().items()}
    elsewhere = [f"{name}.{key}" for name in keys if key in keys[name]]
    known = keys.get(section, list(keys))
    alike = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if elsewhere or alike:
        return tr(" (did you mean '{key}'?)", key=(elsewhere or alike)[0])
    return tr(" (known: {keys})", keys=", ".join(known))
