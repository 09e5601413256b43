"""The library's front door: `poetgen.load()` gives a model that samples, streams and scores."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from poetgen.data.normalise import normalise
from poetgen.data.poem import Poem
from poetgen.errors import UsageError
from poetgen.model.likelihood import Likelihood, score
from poetgen.model.locate import find_model
from poetgen.model.store import StoredModel, load_model
from poetgen.sampling.constraints import check_prompt
from poetgen.sampling.decode import Failed, Sample, generate, generate_steps
from poetgen.sampling.options import Options, OptionValues
from poetgen.sampling.request import Request, new_seed
from poetgen.sampling.writing import Choice, Setback


class PoetModel:
    """A loaded model.  Make one with `load`."""

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored

    @property
    def max_tokens(self) -> int:
        """How many characters it writes at most after a prompt: as many as it was trained on."""
        return self.stored.config.data.max_tokens

    def sample(
        self,
        prompt: str | None = None,
        *,
        num: int = 1,
        batch_size: int = 64,
        **options: Unpack[OptionValues],
    ) -> list[Poem]:
        """`num` poems that begin with `prompt`; warns of what the model does not know.

        `options` are those of the command line: temperature, top_k, top_p, min_p, seed, form, soft,
        rhyme, rhyme_group, tones, acrostic, acrostic_at, title, author, particles, best_of,
        allow_copies; see `poetgen.sampling.options.Options`.  The same seed gives the same poems,
        whatever the batch size; None takes one by chance.

        Raises:
            UsageError: a prompt or an option out of range, or options that contradict each other.
            ConstraintError: there is no such poem, or none was found.
        """
        if num < 1:
            raise UsageError(f"num is {num}", "Ask for one poem or more.")
        first = self._request(Options(prompt).updated(options))
        requests = (replace(first, index=index) for index in range(num))
        poems = []
        for result in self.generate(requests, batch_size=batch_size):
            if isinstance(result, Failed):
                raise result.error
            poems.append(result.poem)
        return poems

    def generate(
        self, requests: Iterable[Request], *, batch_size: int = 64
    ) -> Iterator[Sample | Failed]:
        """The poems of `requests` in order, as an iterator, with their likelihoods and warnings.

        A request that cannot be met gives a `Failed` and stops nothing.

        Raises:
            UsageError: `batch_size` is less than 1.
        """
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size} is less than 1", "Try 64.")
        return generate(
            self.stored.model,
            self.stored.vocab,
            requests,
            max_tokens=self.max_tokens,
            batch_size=batch_size,
            lines=self.stored.lines,
        )

    def stream(self, prompt: str | None = None, **options: Unpack[OptionValues]) -> Iterator[str]:
        """One poem, character by character as they are chosen, the prompt first.

        `options` are those of `sample`; it is the poem that `sample` writes with the same seed and
        one particle.  Under constraints see `stream_request`.

        Raises:
            UsageError: as `sample`, and where options ask for several particles or the best of several.
            ConstraintError: as `sample`.
        """
        return self.stream_request(self._request(Options(prompt).updated(options).streamed()))

    def _request(self, options: Options) -> Request:
        request = self.request(options, seed=new_seed())
        for warning in request.warnings:
            warnings.warn(warning, stacklevel=3)  # at the line that called sample or stream
        return request

    def request(self, options: Options, *, seed: int) -> Request:
        """The request that `options` make, with this seed where they have none.

        Raises:
            UsageError: a prompt with nothing in it that the model knows.
            ConstraintError: the prompt breaks a constraint.
        """
        request = options.request(self.stored.vocab, seed=seed)
        check_prompt(request, self.stored.vocab)
        return request

    def stream_request(
        self, request: Request, take_back: Callable[[], None] | None = None
    ) -> Iterator[str]:
        """The characters of one request's poem, the prompt first.

        Under constraints a poem may meet a dead end and be begun anew: then `take_back` is called, and
        all characters before are void.  Without it they come when they are certain: at the end.

        Raises:
            ConstraintError: it was given up.
        """
        is_live = take_back is not None or not request.constraints
        held: list[str] = []
        for column in self._steps(request):
            for event in column:
                if isinstance(event, Setback):
                    held.clear()
                    if take_back is not None:
                        take_back()
                    if event.is_final:
                        raise event.error
                elif is_live:
                    yield from event.text
                else:
                    held.append(event.text)
        yield from "".join(held)

    def _steps(self, request: Request) -> Iterator[list[Choice | Setback]]:
        stored = self.stored
        return generate_steps(
            stored.model, stored.vocab, [request], max_tokens=self.max_tokens, lines=stored.lines
        )

    def score(self, text: str) -> Likelihood:
        """The likelihood of a poem by the convention of `poetgen.model.likelihood`.

        Raises:
            UsageError: the text is empty.
        """
        normal = normalise(text)
        if not normal:
            raise UsageError("there is no text to score", "Give a poem.")
        return score(self.stored.model, [Poem(normal)], self.stored.vocab)[0]


def load(path: str | Path | None = None) -> PoetModel:
    """The model at `path` (a model file, a run folder, a run's name); None: the one `sample` takes.

    Raises:
        ModelFileError: there is none, or it is damaged.
    """
    return PoetModel(load_model(find_model(None if path is None else str(path)).path))
