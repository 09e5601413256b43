"""The library: `poetgen.load()` returns a `Poet` that samples, streams and scores."""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from poetgen.data.normalize import normalize
from poetgen.data.poem import Poem
from poetgen.data.read import MAX_TEXT
from poetgen.engine.scoring import Likelihood, score
from poetgen.errors import UsageError
from poetgen.language import tr
from poetgen.model.file import ModelBundle, load_model
from poetgen.runs import find_model
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.hypothesis import GivenUp, Restart
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request, new_seed
from poetgen.sampling.unique import UniquePoems

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def _takes_options(
    _declared: Callable[P, Options],
) -> Callable[[Callable[[S, Options], R]], Callable[Concatenate[S, P], R]]:
    """Turn a method of `Options` into one of its fields as keywords, visible to type checkers."""

    def decorate(method: Callable[[S, Options], R]) -> Callable[Concatenate[S, P], R]:
        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if args and "prompt" in kwargs:
                raise TypeError(f"{method.__name__}() got multiple values for argument 'prompt'")
            return method(self, Options(*args).updated(kwargs))  # type: ignore[arg-type]

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = [own, *inspect.signature(Options).parameters.values()]
        result = inspect.signature(method).return_annotation
        call.__signature__ = inspect.Signature(parameters, return_annotation=result)  # type: ignore[attr-defined]
        return call

    return decorate


class Poet:
    """A loaded model.  Get one with `load`.

    poet = poetgen.load()
    print(poet.sample("床前", form="七绝", seed=1)[0])
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    @property
    def bundle(self) -> ModelBundle:
        """The network with its vocabulary and configuration."""
        return self.generator.bundle

    @_takes_options(Options)
    def sample(self, options: Options) -> list[Poem]:
        """Return `num` poems that begin with `prompt`; warn of what the model cannot use.

        The keywords are the options of the command line; see `poetgen.sampling.options.Options`.  The
        same seed gives the same poems at any batch size; None is a random one.

        Raises:
            UsageError: a prompt or an option out of range, or options that contradict each other.
            ConstraintError: the constraints cannot be met.
        """
        first = self._request(options)
        requests = (replace(first, index=index) for index in range(options.num))
        results = self.generator.generate(requests, batch_size=options.batch_size, scored=False)
        poems = []
        for result in (
            map(UniquePoems(self.generator).distinct, results) if options.unique else results
        ):
            if isinstance(result, Failure):
                raise result.error
            poems.append(result.poem)
        return poems

    @_takes_options(Options)
    def stream(self, options: Options) -> Iterator[str]:
        """Yield one poem character by character, the prompt first.

        The keywords are those of `sample`, and so is the poem.
        Under constraints a poem may have to be restarted, so its characters come at its end.

        Raises:
            UsageError: as `sample`, and for several particles or candidates.
            ConstraintError: as `sample`.
        """
        options.require_streamable()
        return self._certain_text(self._request(options))

    def request(self, options: Options, *, seed: int) -> Request:
        """Return the request for `options`; see `Generator.request`."""
        return self.generator.request(options, seed=seed)

    def generate(
        self, requests: Iterable[Request], *, batch_size: int = 64
    ) -> Iterator[Sample | Failure]:
        """Yield the poems of `requests` with likelihoods and warnings; see `Generator.generate`."""
        return self.generator.generate(requests, batch_size=batch_size)

    def score(self, text: str) -> Likelihood:
        """Return the likelihood of a poem by the convention of `poetgen.engine.scoring`.

        Raises:
            UsageError: the text is empty or too long.
        """
        if len(text) > MAX_TEXT:
            raise UsageError(
                tr("the text has {num:,} characters", num=len(text)),
                tr("Give at most {limit:,}.", limit=MAX_TEXT),
            )
        normal = normalize(text)
        if not normal:
            raise UsageError(tr("there is no text to score"), tr("Give a poem."))
        return score(self.bundle.engine, [Poem(normal)], self.bundle.vocab)[0]

    def _request(self, options: Options) -> Request:
        request = self.request(options, seed=new_seed())
        for warning in request.warnings:
            warnings.warn(warning, stacklevel=4)  # at the line that called sample or stream
        return request

    def _certain_text(self, request: Request) -> Iterator[str]:
        pending: list[str] = []
        for event in self.generator.stream(request, scored=False):
            if isinstance(event, GivenUp):
                raise event.error
            if isinstance(event, Restart):
                pending.clear()
            elif request.options.is_constrained:
                pending.append(event.text)
            else:
                yield from event.text
        yield from "".join(pending)


def load(path: str | Path | None = None, *, device: str = "cpu") -> Poet:
    """Return the model at `path` (a model file, a run folder, the name of a run) on `device`.

    Without a path: the newest run's model, or the bundled one.

    Raises:
        ModelFileError: there is none, or it is damaged.
    """
    choice = find_model(None if path is None else str(path))
    return Poet(Generator(load_model(choice.path, device)))
