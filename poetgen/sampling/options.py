"""The options of sampling, each declared once: type, default, range, help.

The command line, a JSON line of a prompts file and Python keywords all make an `Options`.  To add an
option, add a field here and use it; `cli.sample` and `api` derive their parameters from the fields.
Does not import torch.
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
from poetgen.errors import UsageError
from poetgen.prosody.forms import FORMS, Form, find_form
from poetgen.prosody.grammar import Grammar, acrostic, make_grammar
from poetgen.prosody.phonology import rhyme_groups, rhymes

MAX_PARALLEL = 1000
"""Upper limit of particles, and of candidates: each costs memory and time as a poem does."""

DEFAULT_PARTICLES = 4
"""Particles of a poem under constraints, unless a number is given."""

CHOICE = "How each character is chosen"
VERSE = "What the poem must be"
CONDITION = "What the model is conditioned on (if it was trained with it)"
MANY = "Several poems, and choosing among them"


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
            return f"{self.low:g} or more"
        return f"{'above' if self.above_low else 'from'} {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Options:
    """The options of a poem, checked, consistent and in canonical spelling.

    options = Options("床前", form="七绝", rhyme=True)

    Raises:
        UsageError: a value of the wrong type or out of range, or one that contradicts another.
    """

    prompt: Annotated[str | None, Option()] = None
    """The beginning, such as 床前; default: none. Without a mark at its end it is the beginning of a
    line; with marks it must fit the form."""
    _: KW_ONLY
    temperature: Annotated[float, Option(short="-t", low=0, high=100)] = 0.8
    """Below 1 plainer, above 1 bolder; 0: always the likeliest character."""
    top_k: Annotated[int, Option(low=0)] = 0
    """Choose among the k likeliest characters; 0: all."""
    top_p: Annotated[float, Option(low=0, high=1, above_low=True)] = 1.0
    """Choose among the fewest characters with this total probability; 1: all."""
    min_p: Annotated[float, Option(low=0, high=1)] = 0.0
    """Choose among characters at least this fraction as likely as the likeliest; 0: all. With any of
    these three, sampling under constraints is an approximation."""
    seed: Annotated[int | None, Option(short="-s")] = None
    """The same seed generates the same poems. Default: random."""
    allow_copies: Annotated[bool, Option()] = False
    """Accept lines that are in the training poems word for word; by default the last character of such
    a line is drawn again."""
    form: Annotated[str, Option(VERSE, short="-f", metavar="FORM")] = ""
    """五绝 or 七绝 (four lines of 5 or 7 characters), 五律 or 七律 (eight); or wujue, qijue, wulv, qilv.
    The model is conditioned on it; line lengths and marks are enforced."""
    soft: Annotated[bool, Option(VERSE)] = False
    """Only condition the model on the form, enforce nothing."""
    rhyme: Annotated[bool, Option(VERSE)] = False
    """Even lines rhyme as Tang poets did, no character twice; the model's first rhyme chooses the
    group."""
    rhyme_group: Annotated[str, Option(VERSE, metavar="GROUP")] = ""
    """Rhyme in this one of the 106 groups (平水韵), such as 东 or 阳. Implies --rhyme."""
    tones: Annotated[bool, Option(VERSE)] = False
    """Keep the tone patterns of regulated verse (平仄, 对, 粘; no 孤平, no 三平尾). Needs --form."""
    acrostic: Annotated[str, Option(VERSE, metavar="CHARACTERS")] = ""
    """The lines begin with these in order (藏头诗): one for each line of the form; without a form the
    poem has one line per character."""
    acrostic_at: Annotated[str, Option(VERSE, metavar="start|end")] = "start"
    """Whether the acrostic begins or ends the lines."""
    title: Annotated[str, Option(CONDITION)] = ""
    """Title of the poem."""
    author: Annotated[str, Option(CONDITION)] = ""
    """In whose manner, such as 李白 (poetgen info lists the authors)."""
    num: Annotated[int, Option(MANY, short="-n", low=1, per_call=True)] = 1
    """Number of poems (per prompt)."""
    particles: Annotated[int | None, Option(MANY, low=1, high=MAX_PARALLEL)] = None
    """Number of particles for constrained sampling: versions of a poem generated in parallel, of which
    one is drawn. More approximate the model more closely and are slower. Default: 4 under constraints."""
    best_of: Annotated[int, Option(MANY, low=1, high=MAX_PARALLEL)] = 1
    """Generate this many candidates per poem and keep the likeliest."""
    batch_size: Annotated[int, Option(MANY, low=1, per_call=True)] = 64
    """Poems generated in parallel, a particle counting as one: changes speed and memory, not the
    poems."""

    def __post_init__(self) -> None:
        for name, option in declared_options().items():
            value: Any = getattr(self, name)
            if value is None and option.is_optional:
                continue
            accepted, expected = _ACCEPTED[option.value_type]
            is_bool = isinstance(value, bool)
            if not isinstance(value, accepted) or is_bool != (option.value_type is bool):
                raise UsageError(f"{name} is {value!r}, not {expected}", f"Give {expected}.")
            if accepted in (Integral, Real):
                is_low = value <= option.low if option.above_low else value < option.low
                if is_low or not value <= option.high:  # NaN is in no range
                    raise UsageError(f"{name} is {value}", f"Expected a number {option.range}.")
        if self.acrostic_at not in ("start", "end"):
            raise UsageError(
                f"acrostic_at is {self.acrostic_at!r}", "Expected start or end, of the lines."
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
            raise UsageError(f"{name} needs a form", f"Add a form: {_FORM_NAMES}.")

    def updated(self, values: Mapping[str, object], names: Sequence[str] = ()) -> "Options":
        """Return these options with `values` in place of their own; `names` limits the keys.

        Raises:
            UsageError: as for the class, and for a key that is not an option, or not in `names`.
        """
        known = names or list(declared_options())
        for key in values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(known)}."
                raise UsageError(f"unknown key {key!r}", hint)
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
        """What the model is conditioned on, as far as it was trained with it."""
        return Conditions(self.form, self.author, self.title)

    @property
    def num_particles(self) -> int:
        """How many particles a poem is generated with: one where all would have the same weight."""
        if self.temperature == 0 or not self.is_constrained:
            return 1
        return DEFAULT_PARTICLES if self.particles is None else self.particles

    @property
    def num_candidates(self) -> int:
        """How many poems are generated for one; greedy choice gives the same poem each time."""
        return self.best_of if self.temperature > 0 else 1

    def streamed(self) -> "Options":
        """Return these options for a poem that is shown while it is generated: with one particle.

        Raises:
            UsageError: they ask for several.
        """
        if self.particles not in (None, 1) or self.best_of > 1 or self.num > 1:
            raise UsageError(
                "a stream shows one poem as it is generated; num, particles and best_of ask for several",
                "Drop either the stream or the other options.",
            )
        return replace(self, particles=1)

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
        )


@cache
def declared_options() -> Mapping[str, Option]:
    """Return the declaration of each option, by name, in the order of the fields."""
    hints = get_type_hints(Options, include_extras=True)
    declared = {}
    for field in fields(Options):
        hint, option = hints[field.name].__origin__, hints[field.name].__metadata__[0]
        value_type, *none = get_args(hint) or (hint,)
        declared[field.name] = option._replace(value_type=value_type, is_optional=bool(none))
    return declared


def option_help() -> dict[str, str]:
    """Return the help text of each option: the docstring of its field."""
    (declaration,) = ast.parse(inspect.getsource(Options)).body
    assert isinstance(declaration, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(declaration.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


_ACCEPTED: dict[type, tuple[Any, str]] = {
    str: (str, "a string"),
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
}


def _check_form(options: Options, form: Form) -> None:
    """Check what depends on the form: tones, the length of the acrostic, the tone of the rhyme."""
    if options.soft and options.tones:
        raise UsageError(
            "soft and tones contradict each other: tones are enforced, soft enforces nothing",
            "Drop one of them.",
        )
    if len(options.acrostic) not in (0, form.num_lines):
        raise UsageError(
            f"the acrostic {options.acrostic} has {len(options.acrostic)} characters, "
            f"but {form.name} has {form.num_lines} lines",
            f"Give {form.num_lines} characters, or another form, or none: "
            "the poem then has one line per character of the acrostic.",
        )
    group = options.rhyme_group
    if not options.soft and group and group not in rhyme_groups("平"):
        raise UsageError(
            f"{group} is not a level rhyme group, and {form.name} rhymes on level tones",
            f"Choose one of {' '.join(rhyme_groups('平'))}; or drop the form.",
        )


_FORM_NAMES = ", ".join(f"{form.name} ({form.alias})" for form in FORMS.values())


def _find_form(name: str) -> Form:
    form = find_form(normalize(name))
    if form is None:
        raise UsageError(f"there is no form {name}", f"Choose one of {_FORM_NAMES}.")
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
    guess = f"Did you mean {' or '.join(near)}?" if near else "Choose one."
    raise UsageError(
        f"{name} is not a rhyme group",
        f"{guess} The level ones are {' '.join(rhyme_groups('平'))}.",
    )


def _checked_acrostic(text: str) -> str:
    normal = normalize(text)
    if not normal or not all(map(is_hanzi, normal)):
        raise UsageError(
            f"the acrostic {text} has characters that are not Chinese",
            "Give Chinese characters only, without marks, such as 春夏秋冬.",
        )
    return normal
