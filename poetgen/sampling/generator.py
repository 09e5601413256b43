"""The one object that generates poems: a network with its vocabulary, limits and training lines.

Everything that needs poems (command line, library, evaluation, inspection, batches) is handed a
`Generator`.  `stream` yields the tokens of one poem, `generate` finished poems of many requests.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from threading import Lock

from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import EOS, UNK, Vocabulary
from poetgen.engine.parallel import advance_together, num_threads
from poetgen.engine.scoring import Likelihood, unknown_surcharge
from poetgen.errors import ConstraintError, UsageError
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.sampling.decode import decode
from poetgen.sampling.hypothesis import (
    Context,
    Event,
    Finished,
    GivenUp,
    Restart,
    SampledToken,
    parse_prompt,
)
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request, make_request

_TYPICAL_LENGTH = 48
"""Tokens of a poem: four lines of five characters have 25, eight of seven 65."""
_MIN_ROWS = 32
"""Rows of a batch that make a thread of their own worth while."""


@dataclass(frozen=True)
class Sample:
    """A finished poem and how it was generated."""

    request: Request
    poem: Poem
    likelihood: Likelihood
    """That of the whole poem, prompt and end included; equals `score` unless the poem was cut off."""
    ended: bool
    """Whether the model ended it; otherwise it was cut off."""
    tokens: tuple[SampledToken, ...] = ()
    """Its steps, those of the prompt included."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Remarks for the user about this poem."""
        if self.ended:
            return self.request.warnings
        num = self.likelihood.tokens
        cut_off = tr("cut off after {num} characters without an end", num=num)
        return (*self.request.warnings, cut_off)

    @property
    def sampled_nats_per_token(self) -> float:
        """−ln of the model's probability per sampled token: what candidates are ranked by."""
        sampled = [step.nats for step in self.tokens if not step.in_prompt]
        return math.fsum(sampled) / max(1, len(sampled))


@dataclass(frozen=True)
class Failure:
    """A poem that could not be generated as requested."""

    request: Request
    error: ConstraintError


class Generator:
    """Generates poems with one model.

    generator = Generator(load_model(path))
    request = generator.request(Options("床前"), seed=1)
    """

    def __init__(self, bundle: ModelBundle, *, max_tokens: int | None = None) -> None:
        """`max_tokens` limits a poem without an end; None: the length that the model was trained on."""
        self.bundle = bundle
        limit = bundle.config.data.max_tokens if max_tokens is None else max_tokens
        self._context = Context(bundle.vocab, limit, bundle.training_lines)

    def request(self, options: Options, *, seed: int, index: int = 0) -> Request:
        """Return the checked request for poem `index`; `seed` is used where the options have none.

        Raises:
            UsageError: the model's vocabulary has no character of the prompt.
            ConstraintError: the prompt breaks a constraint, or a constraint cannot be met.
        """
        request = make_request(options, self.bundle.vocab, seed=seed, index=index)
        if options.is_constrained:
            parse_prompt(request, self._context)
        return request

    def expect(self, num_poems: int) -> None:
        """Note that so many poems are to be generated; see `Network.expect`."""
        self.bundle.engine.expect(num_poems * _TYPICAL_LENGTH)

    def stream(self, request: Request, *, scored: bool = True) -> Iterator[Event]:
        """Yield the steps of one poem as they are sampled.

        A `Restart` makes the tokens before it void; a `GivenUp` ends the poem without a result.  Unless
        `scored`, the nats of tokens are NaN, which is faster.
        """
        numbered = iter([(0, request)])
        for events in decode(self.bundle.engine, self._context, numbered, scored=scored):
            yield from (event for event in events if not isinstance(event, Finished))

    def generate(
        self, requests: Iterable[Request], *, batch_size: int = 64, scored: bool = True
    ) -> Iterator[Sample | Failure]:
        """Yield the finished poems in the order of `requests`, about `batch_size` rows at a time.

        Of a request's `best_of` candidates, each with a random stream of its own, the likeliest per
        token is kept; one that ended is preferred to one that was cut off.  A failure does not stop
        the others.  Unless `scored`, likelihoods may be NaN, which is faster.  Requests are taken when
        there is room in the batch, before the poems of earlier ones are yielded.

        Raises:
            UsageError: `batch_size` is less than 1.
        """
        if batch_size < 1:
            raise UsageError(
                tr("the batch size {size} is less than 1", size=batch_size), tr("Try 64.")
            )
        return self._best_candidates(requests, batch_size, scored)

    def _best_candidates(
        self, requests: Iterable[Request], batch_size: int, scored: bool
    ) -> Iterator[Sample | Failure]:
        candidates = (
            replace(request, candidate=request.candidate + number)
            for request in requests
            for number in range(request.options.num_candidates)
        )
        results = self._generate_all(candidates, batch_size, scored)
        for result in results:
            others = islice(results, result.request.options.num_candidates - 1)
            yield _best([result, *others])

    def _generate_all(
        self, requests: Iterable[Request], batch_size: int, scored: bool
    ) -> Iterator[Sample | Failure]:
        """Yield the result of each request, in order."""
        numbered = _Numbered(requests)
        num_loops = max(1, min(num_threads(), batch_size // _MIN_ROWS))
        loops = [
            decode(
                self.bundle.engine,
                self._context,
                numbered,
                num_rows=-(-batch_size // num_loops),
                scored=scored,
            )
            for _ in range(num_loops)
        ]
        steps: defaultdict[int, list[SampledToken]] = defaultdict(list)
        results: dict[int, Sample | Failure] = {}
        num_yielded = 0
        for event in chain.from_iterable(advance_together(loops)):
            number = event.row
            if isinstance(event, SampledToken):
                steps[number].append(event)
                continue
            tokens = steps.pop(number, [])
            if isinstance(event, Restart):
                continue
            request = numbered.pending.pop(number)
            results[number] = (
                Failure(request, event.error)
                if isinstance(event, GivenUp)
                else finished(request, tokens, self.bundle.vocab)
            )
            while num_yielded in results:
                yield results.pop(num_yielded)
                num_yielded += 1


class _Numbered:
    """An iterator over numbered requests, for several threads; it remembers what is `pending`."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self.pending: dict[int, Request] = {}
        self._requests = enumerate(requests)
        self._lock = Lock()

    def __iter__(self) -> Iterator[tuple[int, Request]]:
        return self

    def __next__(self) -> tuple[int, Request]:
        with self._lock:
            number, request = next(self._requests)
            self.pending[number] = request
        return number, request


def finished(request: Request, tokens: Sequence[SampledToken], vocab: Vocabulary) -> Sample:
    """Return the sample that consists of `tokens`."""
    text = "".join(step.text for step in tokens)
    num_unknown = sum(step.token == UNK for step in tokens)
    likelihood = Likelihood(
        poems=1,
        tokens=len(tokens),
        unknown_tokens=num_unknown,
        hanzi=sum(map(is_hanzi, text)),
        nats=math.fsum(step.nats for step in tokens) + num_unknown * unknown_surcharge(vocab),
    )
    return Sample(request, Poem(text), likelihood, tokens[-1].token == EOS, tuple(tokens))


def _best(candidates: Sequence[Sample | Failure]) -> Sample | Failure:
    """Return the best candidate as the result of the request, which is that of the first."""
    samples = [one for one in candidates if isinstance(one, Sample)]
    if not samples:
        return candidates[0]
    best = min(samples, key=lambda sample: (not sample.ended, sample.sampled_nats_per_token))
    return replace(best, request=candidates[0].request)
