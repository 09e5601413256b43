"""The options of sampling, each declared once: type, default, range, help.

The command line, a JSON line of a prompts file and Python keywords all make an `Options`.  To add an
option, add a field here and use it; `cli.sample` and `api` derive their parameters from the fields.
The help text of an option is the docstring of its field, translated where it is shown.  Does not
import torch.
"""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from math import inf
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from poetgen.data.conditions import Conditions
from poetgen.data.normalize import normalize
from poetgen.data.poem import is_hanzi
from poetgen.errors import UsageError, shorten
from poetgen.language import tr
from poetgen.prosody.forms import FORMS, Form, find_form
from poetgen.prosody.grammar import Grammar, acrostic, make_grammar
from poetgen.prosody.phonology import rhyme_groups, rhymes

MAX_PARALLEL = 1000
"""Upper limit of particles, and of candidates: each costs memory and time as a poem does."""

MAX_PROMPT = 2000
"""Characters of a prompt; the longest poem of the Tang has 1,666."""

MAX_TEXT = 200
"""Characters of any other text that is an option."""

CHOICE = "Choice of characters"
VERSE = "Form, rhyme, tones and acrostic"
CONDITION = "Conditions, for models trained with them"
MANY = "Number of poems, and choosing among them"


class Option(NamedTuple):
    """How an option is presented and checked; its help text is the docstring of the field."""

    group: str = CHOICE
    """The heading of the help text that it is listed under."""
    short: str = ""
    """Its short flag, such as -t."""
    metavar: str | None = None
    low: float = -inf
    """The least value; itself excluded if `above_low`."""
    high: float = inf
    above_low: bool = False
    max_length: int = MAX_TEXT
    """Characters of a text."""
    per_call: bool = False
    """Whether it belongs to the call as a whole and cannot be set for one prompt."""
    value_type: type = str
    """Filled in by `declared_options`, like the next."""
    is_optional: bool = False
    """Whether None is a value."""

    @property
    def range(self) -> str:
        """The range in words."""
        if self.high == inf:
            return tr("{low:g} or more", low=self.low)
        if self.above_low:
            return tr("above {low:g} to {high:g}", low=self.low, high=self.high)
        return tr("from {low:g} to {high:g}", low=self.low, high=self.high)


@dataclass(frozen=True)
class Options:
    """The options of a poem, checked, consistent and in canonical spelling.

    >>> options = Options("床前", form="qijue", rhyme=True)
    >>> options.form, options.is_constrained
    ('七绝', True)

    Raises:
        UsageError: a value of the wrong type or out of range, or one that contradicts another.
    """

    prompt: Annotated[str | None, Option(max_length=MAX_PROMPT)] = None
    """Beginning of the poem, such as 床前. Without a mark at its end, its last line is continued."""
    _: KW_ONLY
    temperature: Annotated[float, Option(short="-t", low=0, high=100)] = 0.8
    """Sampling temperature: below 1 plainer, above 1 bolder; 0: always the likeliest character."""
    top_k: Annotated[int, Option(low=0)] = 0
    """Sample from the k likeliest characters; 0: from all."""
    top_p: Annotated[float, Option(low=0, high=1, above_low=True)] = 1.0
    """Sample from the fewest characters whose probabilities sum to p; 1: from all."""
    min_p: Annotated[float, Option(low=0, high=1)] = 0.0
    """Sample from characters at least this fraction as likely as the likeliest; 0: from all. With any of
    these three, sampling under constraints is an approximation."""
    seed: Annotated[int | None, Option(short="-s")] = None
    """Random seed: the same seed generates the same poems. Default: a random one."""
    allow_copies: Annotated[bool, Option()] = False
    """Allow lines copied from the training poems. By default their last character is resampled."""
    form: Annotated[str, Option(VERSE, short="-f", metavar="FORM")] = ""
    """Form of the poem: 五绝, 七绝 (4 lines of 5 or 7 characters), 五律, 七律 (8 lines); or wujue, qijue,
    wulv, qilv."""
    soft: Annotated[bool, Option(VERSE)] = False
    """Condition the model on the form, but do not enforce it."""
    rhyme: Annotated[bool, Option(VERSE)] = False
    """Rhyme the even lines and the last (平水韵), no character twice. The first rhyme sets the group."""
    rhyme_group: Annotated[str, Option(VERSE, metavar="GROUP")] = ""
    """Rhyme in this one of the 106 groups (平水韵), such as 东 or 阳. Implies --rhyme."""
    tones: Annotated[bool, Option(VERSE)] = False
    """Keep the tone patterns of regulated verse (平仄, 对, 粘; no 孤平, no 三平尾). Needs --form."""
    any_reading: Annotated[bool, Option(VERSE)] = False
    """Let tones and rhymes use readings that Tang poets hardly used, such as 不 as a level character."""
    acrostic: Annotated[str, Option(VERSE, metavar="CHARACTERS")] = ""
    """Begin the lines with these characters (藏头诗). Without --form, a line for each, all equally long."""
    acrostic_at: Annotated[str, Option(VERSE, metavar="start|end")] = "start"
    """Position of the acrostic in its lines: start or end."""
    title: Annotated[str, Option(CONDITION)] = ""
    """Title of the poem. A weak condition: the bundled model finds the title of 16% of its poems among
    100."""
    author: Annotated[str, Option(CONDITION)] = ""
    """Author to imitate, such as 李白 (see poetgen info). The bundled model finds the author of 38% of its
    poems among 10."""
    num: Annotated[int, Option(MANY, short="-n", low=1, per_call=True)] = 1
    """Number of poems, per prompt."""
    particles: Annotated[int, Option(MANY, low=1, high=MAX_PARALLEL)] = 1
    """Particles for constrained sampling: more approximate the model better and are slower."""
    best_of: Annotated[int, Option(MANY, low=1, high=MAX_PARALLEL)] = 1
    """Generate this many candidates per poem and keep the likeliest."""
    unique: Annotated[bool, Option(MANY, per_call=True)] = False
    """No two equal poems: a poem that occurred before is generated again."""
    batch_size: Annotated[int, Option(MANY, low=1, per_call=True)] = 64
    """Number of poems generated in parallel, each particle counted. Changes only speed and memory."""

    def __post_init__(self) -> None:
        for name, option in declared_options().items():
            value: Any = getattr(self, name)
            if value is None and option.is_optional:
                continue
            accepted = _ACCEPTED[option.value_type]
            is_bool = isinstance(value, bool)
            if not isinstance(value, accepted) or is_bool != (option.value_type is bool):
                raise _wrong_type(name, value, option.value_type)
            if isinstance(value, str) and len(value) > option.max_length:
                raise _too_long(name, value, option.max_length)
            if accepted in (Integral, Real):
                is_low = value <= option.low if option.above_low else value < option.low
                if is_low or not value <= option.high:  # NaN is in no range
                    raise UsageError(
                        tr("{name} is {value}", name=name, value=value),
                        tr("Expected a number {range}.", range=option.range),
                    )
        if self.acrostic_at not in ("start", "end"):
            raise UsageError(
                tr("acrostic_at is {value}", value=repr(self.acrostic_at)),
                tr("Expected start or end, of the lines."),
            )
        if self.unique and self.temperature == 0:
            raise UsageError(
                tr("unique needs a temperature above 0: at 0 all poems of a prompt are the same"),
                tr("Raise the temperature, or drop unique."),
            )
        form = _find_form(self.form) if self.form else None
        canonical = {
            "form": form.name if form else "",
            "rhyme_group": _find_rhyme_group(self.rhyme_group) if self.rhyme_group else "",
            "acrostic": _checked_acrostic(self.acrostic) if self.acrostic else "",
            "title": normalize(self.title) if self.title else "",
            "author": normalize(self.author) if self.author else "",
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)
        if form:
            _check_form(self, form)
        elif self.soft or self.tones:
            name = "soft" if self.soft else "tones"
            raise UsageError(
                tr("{name} needs a form", name=name), tr("Add a form: {forms}.", forms=_FORM_NAMES)
            )

    def updated(self, values: Mapping[str, object], names: Sequence[str] = ()) -> "Options":
        """Return these options with `values` in place of their own; `names` limits the keys.

        >>> Options("床前").updated({"temperature": 1.0}).temperature
        1.0

        Raises:
            UsageError: as for the class, and for a key that is not an option, or not in `names`.
        """
        known = names or list(declared_options())
        for key in values:
            if key not in known:
                near = get_close_matches(shorten(key), known, n=1)
                hint = (
                    tr("Did you mean {name}?", name=near[0])
                    if near
                    else tr("Use one of {names}.", names=", ".join(known))
                )
                raise UsageError(tr("unknown key {key}", key=shorten(repr(key))), hint)
        changes: dict[str, Any] = dict(values)
        return replace(self, **changes)

    @property
    def imposed_form(self) -> Form | None:
        """The form whose shape is enforced."""
        return FORMS[self.form] if self.form and not self.soft else None

    @property
    def is_constrained(self) -> bool:
        """Whether anything is enforced."""
        return bool(
            (self.form and not self.soft) or self.rhyme or self.rhyme_group or self.acrostic
        )

    @property
    def conditions(self) -> Conditions:
        """The form, author and title that the model is conditioned on, if it was trained with them."""
        return Conditions(self.form, self.author, self.title)

    @property
    def num_particles(self) -> int:
        """How many particles a poem is generated with: one where all would have the same weight."""
        return self.particles if self.temperature > 0 and self.is_constrained else 1

    @property
    def num_candidates(self) -> int:
        """How many poems are generated for one; greedy choice gives the same poem each time."""
        return self.best_of if self.temperature > 0 else 1

    def require_streamable(self) -> None:
        """Check that these options ask for one poem that can be shown while it is generated.

        Raises:
            UsageError: they ask for several.
        """
        if self.particles > 1 or self.best_of > 1 or self.num > 1:
            raise UsageError(
                tr(
                    "a stream shows one poem as it is generated; "
                    "num, particles and best_of ask for several"
                ),
                tr("Drop either the stream or the other options."),
            )

    def grammar(self, alphabet: tuple[str, ...]) -> Grammar:
        """Return the grammar of the constraints; `alphabet` holds the characters that can be chosen.

        Raises:
            ConstraintError: they cannot be met.
        """
        return make_grammar(
            self.imposed_form,
            rhyme=self.rhyme,
            rhyme_group=self.rhyme_group,
            tones=self.tones,
            required=acrostic(self.acrostic, at_end=self.acrostic_at == "end"),
            alphabet=alphabet,
            any_reading=self.any_reading,
        )


# The signature that help() and editors show: without `Annotated`.
Options.__init__.__annotations__.update(get_type_hints(Options))


@cache
def declared_options() -> Mapping[str, Option]:
    """Return the declaration of each option, by name, in the order of the fields.

    >>> declared_options()["top_p"].range
    'above 0 to 1'
    """
    hints = get_type_hints(Options, include_extras=True)
    declared = {}
    for field in fields(Options):
        hint, option = hints[field.name].__origin__, hints[field.name].__metadata__[0]
        value_type, *none = get_args(hint) or (hint,)
        declared[field.name] = option._replace(value_type=value_type, is_optional=bool(none))
    return declared


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstrings below the fields of a class; of `Options`, the help text of each option.

    >>> field_docs(Options)["num"]
    'Number of poems, per prompt.'
    """
    (declaration,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(declaration, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(declaration.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


_ACCEPTED: dict[type, Any] = {str: str, bool: bool, int: Integral, float: Real}
"""The types of value that an option of each type takes."""


def _wrong_type(name: str, value: object, value_type: type) -> UsageError:
    expected = {
        str: tr("a string"),
        bool: tr("true or false"),
        int: tr("a whole number"),
        float: tr("a number"),
    }[value_type]
    return UsageError(
        tr(
            "{name} is {value}, not {expected}",
            name=name,
            value=shorten(repr(value)),
            expected=expected,
        ),
        tr("Give {expected}.", expected=expected),
    )


def _too_long(name: str, value: str, limit: int) -> UsageError:
    return UsageError(
        tr("{name} has {num:,} characters", name=name, num=len(value)),
        tr("Give at most {limit:,}.", limit=limit),
    )


def _check_form(options: Options, form: Form) -> None:
    """Check what depends on the form: tones, the length of the acrostic, the tone of the rhyme."""
    if options.soft and options.tones:
        raise UsageError(
            tr("soft and tones contradict each other: tones are enforced, soft enforces nothing"),
            tr("Drop one of them."),
        )
    if len(options.acrostic) > form.num_lines:
        raise UsageError(
            tr(
                "the acrostic {acrostic} has {num} characters, but {form} has {num_lines} lines",
                acrostic=options.acrostic,
                num=len(options.acrostic),
                form=form.name,
                num_lines=form.num_lines,
            ),
            tr(
                "Shorten the acrostic, or choose another form, or none: "
                "the poem then has one line per character of the acrostic."
            ),
        )
    group = options.rhyme_group
    if not options.soft and group and group not in rhyme_groups("平"):
        raise UsageError(
            tr(
                "{group} is not a level rhyme group, and {form} rhymes on level tones",
                group=group,
                form=form.name,
            ),
            tr("Choose one of {groups}; or drop the form.", groups=" ".join(rhyme_groups("平"))),
        )


_FORM_NAMES = ", ".join(f"{form.name} ({form.alias})" for form in FORMS.values())


def _find_form(name: str) -> Form:
    form = find_form(normalize(name))
    if form is None:
        raise UsageError(
            tr("there is no form {name}", name=name),
            tr("Choose one of {forms}.", forms=_FORM_NAMES),
        )
    return form


def _find_rhyme_group(name: str) -> str:
    known = rhyme_groups()
    if name in known:  # 寘 is one, and no simplified spelling
        return name
    group = normalize(name)
    if group in known:
        return group
    # 一东 and 东韵 name their group; any other character is read as a word that the group should hold.
    named = [c for c in group if c in known]
    near = named or (sorted(rhymes(group)) if len(group) == 1 else [])
    level = " ".join(rhyme_groups("平"))
    fix = (
        tr("Did you mean {near}? The level groups are {level}.", near="/".join(near), level=level)
        if near
        else tr("Choose one. The level groups are {level}.", level=level)
    )
    raise UsageError(tr("{name} is not a rhyme group", name=name), fix)


def _checked_acrostic(text: str) -> str:
    normal = normalize(text)
    if not normal or not all(map(is_hanzi, normal)):
        raise UsageError(
            tr("the acrostic {text} has characters that are not Chinese", text=text),
            tr("Give Chinese characters only, without marks, such as 春夏秋冬."),
        )
    return normal
