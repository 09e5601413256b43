"""The library's front door: `poetgen.load()` gives a model that samples, streams and scores."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from poetgen.data.normalise import normalise
from poetgen.data.poem import Poem
from poetgen.data.vocab import EOS
from poetgen.errors import UsageError
from poetgen.model.likelihood import Likelihood, score
from poetgen.model.locate import find_model
from poetgen.model.store import StoredModel, load_model
from poetgen.sampling.decode import Sample, generate, generate_steps
from poetgen.sampling.prompt import NO_PROMPT, Prompt, prepare_prompt
from poetgen.sampling.request import Request, Settings, check_settings, new_seed


class PoetModel:
    """A loaded model.  Make one with `load`."""

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored

    @property
    def max_tokens(self) -> int:
        """How many characters it writes at most after a prompt: as many as it was trained on."""
        return self.stored.config.data.max_tokens

    def prompt(self, text: str | None) -> Prompt:
        """`text` made ready; None: the model begins by itself.

        Raises:
            UsageError: nothing in it that the model knows.
        """
        return NO_PROMPT if text is None else prepare_prompt(text, self.stored.vocab)

    def sample(
        self,
        prompt: str | None = None,
        *,
        num: int = 1,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
        batch_size: int = 64,
    ) -> list[Poem]:
        """`num` poems that begin with `prompt`; warns of characters that the model does not know.

        The same seed gives the same poems, whatever the batch size; None takes one by chance.

        Raises:
            UsageError: a prompt or a setting out of range.
        """
        if num < 1:
            raise UsageError(f"num is {num}", "Ask for one poem or more.")
        first = self._request(prompt, Settings(temperature, top_k, top_p, min_p), seed)
        requests = (replace(first, index=index) for index in range(num))
        return [s.poem for s in self.generate(requests, batch_size=batch_size)]

    def generate(self, requests: Iterable[Request], *, batch_size: int = 64) -> Iterator[Sample]:
        """The poems of `requests` in order, as an iterator, with their likelihoods and warnings.

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
        )

    def stream(
        self,
        prompt: str | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """One poem, character by character as they are chosen, the prompt first.

        It is the poem that `sample` writes with the same seed.
        """
        return self.stream_request(
            self._request(prompt, Settings(temperature, top_k, top_p, min_p), seed)
        )

    def _request(self, prompt: str | None, settings: Settings, seed: int | None) -> Request:
        prepared = self.prompt(prompt)
        for warning in prepared.warnings:
            warnings.warn(warning, stacklevel=3)  # at the line that called sample or stream
        return Request(
            new_seed() if seed is None else seed, 0, prepared, settings=check_settings(settings)
        )

    def stream_request(self, request: Request) -> Iterator[str]:
        """The characters of one request's poem, the prompt first."""
        yield from request.prompt.text
        stored = self.stored
        for (choice,) in generate_steps(
            stored.model, stored.vocab, [request], max_tokens=self.max_tokens
        ):
            if not choice.in_prompt and choice.token != EOS:
                yield stored.vocab.symbols[choice.token]

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
