"""Option values as people give them → a checked request.  Does not import torch.

The command line, a JSON line of a job and Python keywords all pass through `Options`, so there is one
list of keys and one set of rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cached_property
from numbers import Integral, Real
from typing import Any, Literal, TypedDict

from poetgen.data.conditions import Conditions, only, unmet
from poetgen.data.normalise import normalise
from poetgen.data.poem import is_hanzi
from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError
from poetgen.prosody.forms import FORMS, Form, find_form
from poetgen.prosody.phonology import rhyme_groups, rhymes
from poetgen.sampling.prompt import NO_PROMPT, prepare_prompt, warn_of_unknown
from poetgen.sampling.request import Constraints, Request, Settings, check_settings

DEFAULT_PARTICLES = 4
"""Of a poem under constraints, where no number is asked for."""


class OptionValues(TypedDict, total=False):
    """The keys of `Options` but the prompt, for functions that take them as keywords."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int | None
    form: str
    soft: bool
    rhyme: bool
    rhyme_group: str
    tones: bool
    acrostic: str
    acrostic_at: str
    title: str
    author: str
    particles: int | None
    best_of: int
    allow_copies: bool


@dataclass(frozen=True)
class Options:
    """What is asked of a poem, in anyone's spelling; one that exists contradicts itself nowhere.

    Raises:
        UsageError: a value of the wrong kind or out of range, or one that contradicts another.
    """

    prompt: str | None = None
    """The beginning of the poem; None: the model begins by itself."""
    temperature: float = Settings.temperature
    top_k: int = Settings.top_k
    top_p: float = Settings.top_p
    min_p: float = Settings.min_p
    seed: int | None = None
    """None: the caller's."""
    form: str = ""
    """Name or alias of a form: told to the model where it was trained with forms, and imposed."""
    soft: bool = False
    """The form is told to the model alone, not imposed."""
    rhyme: bool = False
    rhyme_group: str = ""
    tones: bool = False
    acrostic: str = ""
    acrostic_at: str = "start"
    """start or end."""
    title: str = ""
    author: str = ""
    particles: int | None = None
    """None: `DEFAULT_PARTICLES` under constraints."""
    best_of: int = Settings.best_of
    allow_copies: bool = Settings.allow_copies

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_form(self)
        if self.particles is not None:
            check_settings(replace(Settings(), particles=self.particles))
        check_settings(self.settings)

    def updated(self, values: Mapping[str, object]) -> "Options":
        """These options with `values` in place of their own, e.g. the object of a JSON line.

        Raises:
            UsageError: as for the class, and for a key that is no option.
        """
        for key in values:
            if key not in _KINDS:
                near = get_close_matches(key, _KINDS, n=1)
                known = f"Take one of {', '.join(_KINDS)}."
                raise UsageError(
                    f"unknown key {key!r}", f"Did you mean {near[0]}?" if near else known
                )
        changes: dict[str, Any] = dict(values)
        return replace(self, **changes)

    @property
    def can_stream(self) -> bool:
        """Whether the poem can be shown while it is written: nothing is chosen among several."""
        return self.settings.particles == self.settings.best_of == 1

    def streamed(self) -> "Options":
        """These options for a poem that is to be shown while it is written: with one particle.

        Raises:
            UsageError: they ask for several.
        """
        if self.particles not in (None, 1) or self.best_of > 1:
            raise UsageError(
                "stream shows a poem while it is written, particles and best_of choose among several",
                "Leave out the one or the others.",
            )
        return replace(self, particles=1)

    @cached_property
    def settings(self) -> Settings:
        """How to choose.

        Greedy choice leaves nothing to weigh or to pick from, and without a constraint all particles
        weigh the same: there one is enough.
        """
        is_greedy = self.temperature == 0
        particles = DEFAULT_PARTICLES if self.particles is None else self.particles
        return Settings(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            particles=1 if is_greedy or not self.constraints else particles,
            best_of=1 if is_greedy and self.best_of > 1 else self.best_of,
            allow_copies=self.allow_copies,
        )

    @cached_property
    def constraints(self) -> Constraints:
        """What is imposed."""
        form = _find_form(self.form)
        group = _find_rhyme_group(self.rhyme_group)
        return Constraints(
            form=form.name if form and not self.soft else "",
            rhyme=self.rhyme or bool(group),
            rhyme_group=group,
            tones=self.tones,
            acrostic=_acrostic(self.acrostic),
            acrostic_at=_acrostic_at(self.acrostic_at),
        )

    @cached_property
    def conditions(self) -> Conditions:
        """What the model is told, as far as it was trained to listen."""
        form = _find_form(self.form)
        return Conditions(
            form=form.name if form else "",
            author=normalise(self.author),
            title=normalise(self.title),
        )

    def request(self, vocab: Vocabulary, *, seed: int, index: int = 0) -> Request:
        """The request to a model with this vocabulary; `seed` is taken where the options have none.

        Raises:
            UsageError: a prompt with nothing in it that the model knows.
        """
        prompt = NO_PROMPT if self.prompt is None else prepare_prompt(self.prompt, vocab)
        # That a form is not told to the model matters only where it is not imposed either.
        kinds = ("author", "title") if self.constraints.form else ("form", "author", "title")
        added = "".join(c for c in self.constraints.acrostic if c not in prompt.text)
        return Request(
            seed=seed if self.seed is None else self.seed,
            index=index,
            prompt=prompt,
            conditions=self.conditions,
            settings=self.settings,
            constraints=self.constraints,
            remarks=(
                *warn_of_unknown(added, vocab),
                *unmet(only(self.conditions, kinds), vocab),
            ),
        )


# By key: the type of its values, and whether null is one.
_KINDS: dict[str, tuple[type, bool]] = {
    field.name: (str, False) if isinstance(field.default, str) else (type(field.default), False)
    for field in fields(Options)
} | {"prompt": (str, True), "seed": (int, True), "particles": (int, True)}
_ACCEPTED: dict[type, tuple[type, str]] = {
    str: (str, "a string"),
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
}


def _check_kinds(options: Options) -> None:
    for key, (kind, may_be_none) in _KINDS.items():
        value = getattr(options, key)
        accepted, name = _ACCEPTED[kind]
        is_of_kind = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
        if not is_of_kind and not (value is None and may_be_none):
            raise UsageError(f"{key} is {value!r}, not {name}", f"Give {name}.")


def _check_form(options: Options) -> None:
    """What hangs on the form: the tones, the acrostic's length, the tone of the rhyme."""
    form = _find_form(options.form)
    constraints = options.constraints
    if options.soft and options.tones:
        raise UsageError(
            "soft and tones contradict each other: tones are imposed, soft imposes nothing",
            "Leave one of them out.",
        )
    if form is None:
        for name, is_given in (("soft", options.soft), ("tones", options.tones)):
            if is_given:
                raise UsageError(f"{name} needs a form", f"Add a form: {_FORM_NAMES}.")
        return
    num_characters = len(constraints.acrostic)
    if num_characters not in (0, form.num_lines):
        raise UsageError(
            f"the acrostic {constraints.acrostic} has {num_characters} characters, "
            f"but {form.name} has {form.num_lines} lines",
            f"Give {form.num_lines} characters, or another form, or none: "
            "the poem then has as many lines as the acrostic has characters.",
        )
    group = constraints.rhyme_group
    if constraints.form and group and group not in rhyme_groups("平"):
        raise UsageError(
            f"{group} is not a level rhyme group, and {form.name} rhymes on level tones",
            f"Take one of {' '.join(rhyme_groups('平'))}; or leave the form out.",
        )


_FORM_NAMES = ", ".join(f"{form.name} ({form.alias})" for form in FORMS.values())


def _find_form(name: str) -> Form | None:
    if not name:
        return None
    form = find_form(normalise(name))
    if form is None:
        raise UsageError(f"there is no form {name}", f"Choose one of {_FORM_NAMES}.")
    return form


def _find_rhyme_group(name: str) -> str:
    if not name:
        return ""
    known = rhyme_groups()
    if name in known:  # 寘 is one, and no simplified spelling
        return name
    group = normalise(name)
    if group in known:
        return group
    # 一东 and 东韵 name their group; another character is taken for a word that it should rhyme with.
    named = [c for c in group if c in known]
    near = named or (sorted(rhymes(group)) if len(group) == 1 else [])
    guess = f"Did you mean {' or '.join(near)}?" if near else "Choose one."
    raise UsageError(
        f"{name} is no rhyme group", f"{guess} The level ones are {' '.join(rhyme_groups('平'))}."
    )


def _acrostic(text: str) -> str:
    normal = normalise(text)
    if not all(map(is_hanzi, normal)) or (text and not normal):
        raise UsageError(
            f"the acrostic {text} is not all of Han characters",
            "Give the characters alone, without marks, such as 春夏秋冬.",
        )
    return normal


def _acrostic_at(place: str) -> Literal["start", "end"]:
    if place == "start":
        return "start"
    if place == "end":
        return "end"
    raise UsageError(f"acrostic_at is {place!r}", "Expected start or end, of the lines.")
