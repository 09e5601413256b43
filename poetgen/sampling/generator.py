"""The one object that generates poems: a network with its vocabulary, limits and training lines.

Everything that needs poems (command line, library, evaluation, inspection, batches) is handed a
`Generator`.  `stream` yields the tokens of one poem, `generate` finished poems of many requests.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import EOS, UNK, Vocabulary
from poetgen.errors import ConstraintError, UsageError
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.model.scoring import Likelihood, unknown_surcharge
from poetgen.sampling.decode import decode
from poetgen.sampling.hypothesis import Context, Event, GivenUp, SampledToken, parse_prompt
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request, make_request


@dataclass(frozen=True)
class Sample:
    """A finished poem and how it was generated."""

    request: Request
    poem: Poem
    likelihood: Likelihood
    """The whole poem, prompt and end included; equals `score` unless the poem was cut off."""
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
        """−ln of the model's probability per sampled token, by which candidates are ranked."""
        sampled = [step.nats for step in self.tokens if not step.in_prompt]
        return sum(sampled) / max(1, len(sampled))


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

    def stream(self, request: Request) -> Iterator[Event]:
        """Yield the steps of one poem as they are sampled.

        A `Restart` makes the tokens before it void; a `GivenUp` ends the poem without a result.
        """
        for events in decode(self.bundle.network, self._context, [request]):
            yield from events

    def generate(
        self, requests: Iterable[Request], *, batch_size: int = 64
    ) -> Iterator[Sample | Failure]:
        """Yield the finished poems in the order of `requests`, about `batch_size` rows at a time.

        Of a request's `best_of` candidates, each with a random stream of its own, the likeliest per
        token is kept; one that ended is preferred to one that was cut off.  A failure does not stop
        the others.

        Raises:
            UsageError: `batch_size` is less than 1.
        """
        if batch_size < 1:
            raise UsageError(
                tr("the batch size {size} is less than 1", size=batch_size), tr("Try 64.")
            )
        return self._best_candidates(requests, batch_size)

    def _best_candidates(
        self, requests: Iterable[Request], batch_size: int
    ) -> Iterator[Sample | Failure]:
        candidates = (
            replace(request, candidate=request.candidate + number)
            for request in requests
            for number in range(request.options.num_candidates)
        )
        results = (
            result
            for batch in _batches(candidates, batch_size)
            for result in self._generate_batch(batch)
        )
        for result in results:
            others = islice(results, result.request.options.num_candidates - 1)
            yield _best([result, *others])

    def _generate_batch(self, requests: Sequence[Request]) -> list[Sample | Failure]:
        steps: list[list[SampledToken]] = [[] for _ in requests]
        errors: dict[int, ConstraintError] = {}
        for events in decode(self.bundle.network, self._context, requests):
            for event in events:
                if isinstance(event, SampledToken):
                    steps[event.row].append(event)
                    continue
                steps[event.row].clear()
                if isinstance(event, GivenUp):
                    errors[event.row] = event.error
        return [
            Failure(request, errors[row])
            if row in errors
            else finished(request, steps[row], self.bundle.vocab)
            for row, request in enumerate(requests)
        ]


def finished(request: Request, tokens: Sequence[SampledToken], vocab: Vocabulary) -> Sample:
    """Return the sample that consists of `tokens`."""
    text = "".join(step.text for step in tokens)
    num_unknown = sum(step.token == UNK for step in tokens)
    likelihood = Likelihood(
        poems=1,
        tokens=len(tokens),
        unknown_tokens=num_unknown,
        hanzi=sum(map(is_hanzi, text)),
        nats=sum(step.nats for step in tokens) + num_unknown * unknown_surcharge(vocab),
    )
    return Sample(request, Poem(text), likelihood, tokens[-1].token == EOS, tuple(tokens))


def _batches(requests: Iterable[Request], batch_size: int) -> Iterator[list[Request]]:
    """Yield requests for `batch_size` rows or a little more: the rows of a poem stay together."""
    batch, num_rows = [], 0
    for request in requests:
        batch.append(request)
        num_rows += request.options.num_particles
        if num_rows >= batch_size:
            yield batch
            batch, num_rows = [], 0
    if batch:
        yield batch


def _best(candidates: Sequence[Sample | Failure]) -> Sample | Failure:
    """Return the best candidate as the result of the request, which is that of the first."""
    samples = [one for one in candidates if isinstance(one, Sample)]
    if not samples:
        return candidates[0]
    best = min(samples, key=lambda sample: (not sample.ended, sample.sampled_nats_per_token))
    return replace(best, request=candidates[0].request)
