"""The decoding loop step by step, on networks whose every logit is known."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.sampling import decode as decoding
from poetgen.sampling.decode import (
    MAX_ATTEMPTS,
    LanguageModel,
    decode,
    reweight,
    sample_tokens,
    weigh_choices,
)
from poetgen.sampling.hypothesis import (
    Context,
    Finished,
    GivenUp,
    Hypothesis,
    PoemTask,
    Restart,
    SampledToken,
)
from poetgen.sampling.masks import Mask
from poetgen.sampling.philox import RandomStream
from poetgen.sampling.request import Request
from poetgen.sampling.smc import ParticleFilter
from tests.sampling.models import (
    AUTHOR_SYMBOLS,
    CONDITIONED_VOCAB,
    COUPLET,
    FORM_SYMBOLS,
    IMPOSSIBLE,
    VOCAB,
    chain,
    make_request,
    random_network,
    unigram,
    vocabulary,
)


def steps_of(
    network: LanguageModel,
    requests: Sequence[Request],
    *,
    max_tokens: int = 40,
    vocab: Vocabulary = VOCAB,
) -> Iterator[list[SampledToken]]:
    """Yield the tokens of each step; there may be no other events but that a poem is finished."""
    context = Context(vocab, max_tokens)
    for events in decode(network, context, enumerate(requests), num_rows=len(requests)):
        tokens = [event for event in events if isinstance(event, SampledToken)]
        assert all(isinstance(event, SampledToken | Finished) for event in events)
        yield tokens


def summary(
    steps: Iterator[list[SampledToken]], vocab: Vocabulary
) -> list[list[tuple[int, str, bool]]]:
    return [[(t.row, vocab.symbols[t.token], t.in_prompt) for t in tokens] for tokens in steps]


def test_decode_yields_the_tokens_of_each_step() -> None:
    requests = [make_request(prompt, temperature=0) for prompt in ("明月", "云")]
    assert summary(steps_of(COUPLET, requests), VOCAB) == [
        [(0, "明", True), (1, "云", True)],
        [(0, "月", True), (1, "。", False)],
        [(0, "光", False), (1, "<eos>", False)],
        [(0, "。", False)],
        [(0, "<eos>", False)],
    ]


def test_decode_yields_nothing_of_the_conditions() -> None:
    network = unigram({"云": 0}, CONDITIONED_VOCAB)
    requests = [
        make_request(title="明月"),  # three tokens before <bos>
        make_request("光", form="五绝", soft=True),  # one
    ]
    steps = steps_of(network, requests, max_tokens=3, vocab=CONDITIONED_VOCAB)
    assert summary(steps, CONDITIONED_VOCAB) == [
        [(1, "光", True)],
        [(1, "云", False)],
        [(0, "云", False), (1, "云", False)],
        [(0, "云", False), (1, "云", False)],
        [(0, "云", False)],
    ]


def test_decode_samples_text_and_after_it_the_end() -> None:
    certain = {"<pad>": 30, "<bos>": 30, "<unk>": 30, "<eos>": 20, "<form:五绝>": 30}
    network = unigram({**certain, "床": 0}, CONDITIONED_VOCAB)
    steps = steps_of(network, [make_request(temperature=0)], vocab=CONDITIONED_VOCAB)
    assert summary(steps, CONDITIONED_VOCAB) == [[(0, "床", False)], [(0, "<eos>", False)]]


def test_decode_is_lazy() -> None:
    steps = steps_of(unigram({"床": 0}), [make_request()], max_tokens=10**9)
    assert [tokens[0].token for tokens in islice(steps, 3)] == [VOCAB.ids["床"]] * 3


def test_decode_of_no_requests() -> None:
    assert list(steps_of(COUPLET, [])) == []


@pytest.mark.parametrize("temperature", [0, 0.8, 1, 100])
def test_decode_never_samples_specials(temperature: float) -> None:
    network = unigram({"<unk>": 30, "<pad>": 30, "<bos>": 30, "床": 1, "<eos>": 0})
    requests = [make_request(index=i, temperature=temperature) for i in range(100)]
    steps = steps_of(network, requests, max_tokens=12)
    sampled = Counter(step.token for tokens in steps for step in tokens)
    assert sampled[PAD] == sampled[BOS] == sampled[UNK] == 0
    assert sampled[VOCAB.ids["床"]] > 0


@pytest.mark.parametrize(
    "conditions", [{}, {"form": "五绝", "soft": True, "author": "竹客", "title": "明月"}], ids=str
)
@pytest.mark.parametrize("temperature", [0, 0.8, 1, 100])
def test_decode_never_samples_conditions(temperature: float, conditions: dict[str, Any]) -> None:
    symbols = [*FORM_SYMBOLS, "<title>", *AUTHOR_SYMBOLS]
    network = unigram({**dict.fromkeys(symbols, 40.0), "床": 1, "<eos>": 0}, CONDITIONED_VOCAB)
    requests = [make_request(index=i, temperature=temperature, **conditions) for i in range(100)]
    steps = steps_of(network, requests, max_tokens=12, vocab=CONDITIONED_VOCAB)
    sampled = {CONDITIONED_VOCAB.symbols[step.token] for tokens in steps for step in tokens}
    assert "床" in sampled
    assert sampled.isdisjoint(symbols)


def test_decode_reports_the_models_own_nats() -> None:
    network = unigram({"床": math.log(0.75), "月": math.log(0.25)})
    request = make_request(temperature=0.1, top_k=1, acrostic="月床", particles=1)
    tokens = [step for tokens in steps_of(network, [request]) for step in tokens][:2]
    assert [step.text for step in tokens] == ["月", "床"]
    assert [step.nats for step in tokens] == pytest.approx(
        [-math.log(0.25), -math.log(0.75)], rel=2e-3
    )


# --- Dead ends -------------------------------------------------------------------------------------


def test_decode_gives_up_a_refused_prompt_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    network = unigram({"床": 0})
    monkeypatch.setattr(network, "step", None)
    ((event,),) = decode(network, Context(VOCAB, 9), iter([(0, make_request("云", acrostic="床"))]))
    assert isinstance(event, GivenUp)
    assert (event.row, event.error.exit_code) == (0, 3)


def dead_end(**options: Any) -> list[Restart | GivenUp]:
    """Return what happens where a required character completes a line of the training text."""
    network = chain({"<bos>": {"月": 1}, "月": {"月": 1}})
    context = Context(VOCAB, 9, (LineBloomFilter.from_poems([Poem("月月月月月月光。")]),))
    request = make_request(acrostic="光", acrostic_at="end", **options)
    events = [event for step in decode(network, context, iter([(0, request)])) for event in step]
    return [event for event in events if isinstance(event, Restart | GivenUp)]


@pytest.mark.parametrize("particles", [1, 4])
def test_decode_restarts_and_then_gives_up(particles: int) -> None:
    *restarts, last = dead_end(particles=particles)
    assert restarts == [Restart(0)] * (MAX_ATTEMPTS - 1)
    assert isinstance(last, GivenUp)
    assert last.error.why == "8 attempts to meet the constraints ended in dead ends"
    assert last.error.exit_code == 3


def test_decode_gives_a_greedy_poem_up_at_once() -> None:
    (event,) = dead_end(temperature=0)
    assert isinstance(event, GivenUp)
    assert event.error.why == ("the likeliest characters lead to a dead end under the constraints")


# --- Searches --------------------------------------------------------------------------------------


def test_decode_yields_tokens_of_particles_at_the_end() -> None:
    network, vocab = random_network(known=vocabulary("床前明月光云"))
    request = make_request(temperature=1, form="五绝", particles=4)
    (tokens,) = steps_of(network, [request], vocab=vocab, max_tokens=5)
    assert len(tokens) == 25


def test_decode_needs_no_particles_without_constraints() -> None:
    steps = steps_of(unigram({"床": 0}), [make_request(particles=8)], max_tokens=5)
    assert [len(tokens) for tokens in steps] == [1] * 5


def test_decode_treats_all_searches_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # A filter of one particle never resamples, and draws the particle after all tokens.
    network, vocab = random_network()
    variants: list[dict[str, Any]] = [{}, {"form": "五绝"}, {"acrostic": "床明床"}]
    requests = [
        make_request("床" * (i % 3), index=i, temperature=1, particles=1, **constraints)
        for i, constraints in enumerate(variants * 4)
    ]

    def poems() -> dict[int, list[SampledToken]]:
        found: dict[int, list[SampledToken]] = {}
        for tokens in steps_of(network, requests, vocab=vocab):
            for step in tokens:
                found.setdefault(step.row, []).append(step)
        return found

    single = poems()
    assert len(single) == 12
    monkeypatch.setattr(decoding, "SingleSearch", ParticleFilter)
    assert poems() == single


# --- The parts of a step ---------------------------------------------------------------------------


def hypotheses(*requests: Request, vocab: Vocabulary = VOCAB, **context: Any) -> list[Hypothesis]:
    """Return a started hypothesis per request."""
    shared = Context(vocab, 40, **context)
    return [PoemTask(row, request, shared).beginning for row, request in enumerate(requests)]


def logits_of(probabilities: Mapping[str, float], num_rows: int = 1) -> NDArray[np.float64]:
    """Return rows of logits; what is not named is next to impossible."""
    logits_V = np.full(len(VOCAB), IMPOSSIBLE)
    for symbol, probability in probabilities.items():
        logits_V[VOCAB.ids[symbol]] = math.log(probability)
    return np.tile(logits_V, (num_rows, 1))


def sampled(
    logits_BV: NDArray[np.float64], rows: Sequence[Hypothesis], masks: Sequence[Mask | None]
) -> list[int]:
    return sample_tokens(logits_BV, rows, masks, weigh_choices(logits_BV, rows, masks))


def reweighted(
    logits_BV: NDArray[np.float64], rows: Sequence[Hypothesis], masks: Sequence[Mask | None]
) -> None:
    reweight(logits_BV, rows, masks, list(weigh_choices(logits_BV, rows, masks)))


def upcoming(row: Hypothesis) -> float:
    """Return the next number of the poem's stream without taking it."""
    return deepcopy(row.task.random).random()


class Equidistant(RandomStream):
    """Numbers evenly spread over [0, 1) in place of random ones."""

    def __init__(self, num: int) -> None:
        self._points = iter([(i + 0.5) / num for i in range(num)])

    def random(self) -> float:
        return next(self._points)


def weights_after(
    probabilities: Mapping[str, float], *requests: Request, weight: float | None = 1.0
) -> list[float | None]:
    """Return the weights after one step from the beginning."""
    rows = hypotheses(*requests)
    for row in rows:
        row.weight = weight
    reweighted(logits_of(probabilities, len(rows)), rows, [row.allowed() for row in rows])
    return [row.weight for row in rows]


def test_reweight_multiplies_by_the_share_that_is_allowed() -> None:
    acrostics = [
        make_request(temperature=temperature, acrostic="月")
        for temperature in (1, 0.5, Fraction(1, 2))
    ]
    # 3 of 5, and 9 of 11 at temperature 1/2.
    found = weights_after({"月": 0.6, "云": 0.2, "。": 0.2}, *acrostics, weight=0.25)
    assert found == pytest.approx([0.15, 0.25 * 9 / 11, 0.25 * 9 / 11], rel=2e-3)
    assert weights_after({"月": 0.6, "云": 0.4}, acrostics[0], weight=None) == [None]


def test_reweight_counts_only_what_can_be_sampled() -> None:
    # The first token cannot be the end, and <bos> and <unk> are no text.
    request = make_request(temperature=1, acrostic="月")
    logits = {"月": 0.1, "云": 0.3, "<eos>": 0.2, "<bos>": 0.2, "<unk>": 0.2}
    assert weights_after(logits, request) == pytest.approx([0.25], rel=2e-3)


def test_reweight_by_the_probability_of_an_unknown_character() -> None:
    requests = [make_request(temperature=t, acrostic="鹤") for t in (1, 0.5)]
    found = weights_after({"<unk>": 0.2, "月": 0.6, "云": 0.2}, *requests)
    assert found == pytest.approx([0.2, 4 / 44], rel=2e-3)
    # It is a probability, however much likelier <unk> is than the text.
    assert weights_after({"<unk>": 1}, make_request(temperature=0.01, acrostic="鹤")) == [1]


def test_reweight_leaves_the_prompt_and_ended_particles_out() -> None:
    in_prompt, ended = hypotheses(
        make_request("月云", acrostic="月"), make_request(temperature=1, acrostic="月")
    )
    ended.is_active = False
    in_prompt.weight = ended.weight = 0.5
    reweighted(logits_of({"云": 1}, 2), [in_prompt, ended], [None, None])
    assert (in_prompt.weight, ended.weight) == (0.5, 0.5)


def test_sample_tokens_kills_a_row_without_choice() -> None:
    (row,) = hypotheses(make_request(acrostic="月"))
    nothing_V = np.zeros(len(VOCAB), np.bool_)
    before = upcoming(row)
    assert sampled(logits_of({"云": 1}), [row], [nothing_V]) == [PAD]
    assert row.is_dead
    assert not row.is_active
    assert upcoming(row) == before


def test_sample_tokens_draws_only_where_nothing_is_forced() -> None:
    rows = hypotheses(
        make_request("月"), make_request(temperature=0), make_request(), make_request(acrostic="鹤")
    )
    rows[2].is_active = False
    before = [upcoming(row) for row in rows]
    allowed = [row.allowed() for row in rows]
    tokens = sampled(logits_of({"云": 1}, 4), rows, allowed)
    assert tokens == [VOCAB.ids["月"], VOCAB.ids["云"], PAD, UNK]
    after = [upcoming(row) for row in rows]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


# 床前明月光 is a training line; after 床前明月, 光 has three quarters of the probability.
COPY = {"光": 0.75, "云": 0.25}
COPIED = (LineBloomFilter.from_poems([Poem("床前明月光。")]),)


def before_a_copy(num: int, weight: float | None) -> Hypothesis:
    (row,) = hypotheses(make_request(temperature=1, acrostic="床前"), training_lines=COPIED)
    for character in "床前明月":
        row.append(VOCAB.ids[character], 0.0)
    row.task.random = Equidistant(num)
    row.weight = weight
    return row


def test_sample_tokens_redraws_the_copy_of_a_single_hypothesis() -> None:
    row = before_a_copy(175, None)
    # Where 光 is drawn first, the next number draws 云.
    tokens = [sampled(logits_of(COPY), [row], [row.allowed()]) for _ in range(100)]
    assert tokens == [[VOCAB.ids["云"]]] * 100
    assert not row.is_dead
    only_V = np.zeros(len(VOCAB), np.bool_)
    only_V[VOCAB.ids["光"]] = True
    assert sampled(logits_of(COPY), [row], [only_V]) == [PAD]
    assert row.is_dead


def test_sample_tokens_kills_a_particle_that_draws_a_copy() -> None:
    row = before_a_copy(400, 0.5)
    tokens = []
    for _ in range(400):  # one number each
        particle = replace(row)
        tokens += sampled(logits_of(COPY), [particle], [particle.allowed()])
        assert particle.is_dead == (tokens[-1] == PAD)
        assert particle.weight == 0.5
    # What is left of the probability is what survives.
    assert Counter(tokens) == {PAD: 300, VOCAB.ids["云"]: 100}


def test_decode_draws_a_row_alike_with_others_and_alone() -> None:
    network, vocab = random_network()
    variants: list[dict[str, Any]] = [{}, {"top_k": 5}, {"acrostic": "床明"}, {"top_p": 0.7}]
    requests = [
        make_request("床" * (i % 3), seed=3, index=i, temperature=1, **options)
        for i, options in enumerate(variants * 9)
    ]

    def poems(size: int) -> list[list[SampledToken]]:
        found: list[list[SampledToken]] = [[] for _ in requests]
        for start in range(0, len(requests), size):
            for tokens in steps_of(network, requests[start : start + size], vocab=vocab):
                for step in tokens:
                    found[start + step.row].append(replace(step, row=start + step.row))
        return found

    together = poems(36)  # the bits of each probability, too
    assert poems(1) == poems(3) == poems(7) == poems(33) == together
    assert len({tuple(step.token for step in poem) for poem in together}) == 36


def test_end_is_no_copy() -> None:
    assert EOS in (step.token for tokens in steps_of(COUPLET, [make_request()]) for step in tokens)
