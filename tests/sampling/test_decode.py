"""The decoding loop step by step, on networks whose every logit is known."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
import torch

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.model.network import PoemRNN
from poetgen.sampling import decode as decoding
from poetgen.sampling.decode import (
    MAX_ATTEMPTS,
    apply_constraints,
    decode,
    sample_tokens,
)
from poetgen.sampling.hypothesis import (
    Context,
    GivenUp,
    Hypothesis,
    PoemTask,
    Restart,
    SampledToken,
)
from poetgen.sampling.request import Request
from poetgen.sampling.smc import ParticleFilter
from tests.sampling.models import (
    AUTHOR_SYMBOLS,
    CONDITIONED_VOCAB,
    COUPLET,
    FORM_SYMBOLS,
    VOCAB,
    chain,
    make_request,
    random_network,
    unigram,
    vocabulary,
)


def steps_of(
    network: PoemRNN,
    requests: Sequence[Request],
    *,
    max_tokens: int = 40,
    vocab: Vocabulary = VOCAB,
) -> Iterator[list[SampledToken]]:
    """Yield the tokens of each step; there may be no other events."""
    for events in decode(network, Context(vocab, max_tokens), requests):
        tokens = [event for event in events if isinstance(event, SampledToken)]
        assert len(tokens) == len(events)
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
    assert [step.nats for step in tokens] == pytest.approx([-math.log(0.25), -math.log(0.75)])


# --- Dead ends -------------------------------------------------------------------------------------


def test_decode_gives_up_a_refused_prompt_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    network = unigram({"床": 0})
    monkeypatch.setattr(network, "step", None)
    ((event,),) = decode(network, Context(VOCAB, 9), [make_request("云", acrostic="床")])
    assert isinstance(event, GivenUp)
    assert (event.row, event.error.exit_code) == (0, 3)


def dead_end(**options: Any) -> list[Restart | GivenUp]:
    """Return what happens where a required character completes a line of the training text."""
    network = chain({"<bos>": {"月": 1}, "月": {"月": 1}})
    context = Context(VOCAB, 9, (LineBloomFilter.from_poems([Poem("月月月月月月光。")]),))
    request = make_request(acrostic="光", acrostic_at="end", **options)
    events = [event for step in decode(network, context, [request]) for event in step]
    return [event for event in events if not isinstance(event, SampledToken)]


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


def open_symbols(logits_V: torch.Tensor, vocab: Vocabulary = VOCAB) -> set[str]:
    return {vocab.symbols[i] for i in (logits_V > -math.inf).nonzero()[:, 0].tolist()}


def test_apply_constraints_masks_and_reweights() -> None:
    plain, required, weighted = hypotheses(
        make_request(temperature=1),
        make_request(temperature=1, acrostic="月"),
        make_request(temperature=0.5, acrostic="月"),
    )
    weighted.log_weight = -1.0
    # 月 has the logit ln 3, all others 0: masses 3 of 13, and 9 of 19 at temperature 1/2.
    logits_BV = torch.full((3, len(VOCAB)), -math.inf)
    logits_BV[:, 4:] = 0
    logits_BV[:, VOCAB.ids["月"]] = math.log(3)
    apply_constraints(logits_BV, [plain, required, weighted])
    assert len(open_symbols(logits_BV[0])) == 10
    assert open_symbols(logits_BV[1]) == open_symbols(logits_BV[2]) == {"月"}
    assert (plain.log_weight, required.log_weight) == (None, None)
    assert weighted.log_weight == pytest.approx(-1 + math.log(9 / 18))


def test_apply_constraints_kills_a_row_without_choice() -> None:
    (row,) = hypotheses(make_request(acrostic="月"))
    logits_BV = torch.zeros(1, len(VOCAB))
    logits_BV[0, VOCAB.ids["月"]] = -math.inf
    apply_constraints(logits_BV, [row])
    assert row.is_dead
    assert not row.is_active


def test_sample_tokens_draws_only_where_nothing_is_forced() -> None:
    rows = hypotheses(make_request("月"), make_request(temperature=0), make_request())
    rows[2].is_active = False
    logits_BV = torch.zeros(3, len(VOCAB))
    logits_BV[:, VOCAB.ids["云"]] = 9
    before = [row.task.random.getstate() for row in rows]
    assert sample_tokens(logits_BV, rows) == [VOCAB.ids["月"], VOCAB.ids["云"], PAD]
    after = [row.task.random.getstate() for row in rows]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_sample_tokens_redraws_a_copy_and_reweights() -> None:
    lines = (LineBloomFilter.from_poems([Poem("床前明月光。")]),)
    request = make_request(temperature=1, acrostic="床前", rhyme=False)
    (row,) = hypotheses(request, training_lines=lines)
    for character in "床前明月":
        row.append(VOCAB.ids[character], 0.0)
    row.log_weight = 0.0
    logits_BV = torch.full((1, len(VOCAB)), -math.inf)
    logits_BV[0, VOCAB.ids["光"]] = math.log(3)
    logits_BV[0, VOCAB.ids["云"]] = 0
    drawn = []
    for _ in range(20):
        row.log_weight = 0.0
        (token,) = sample_tokens(logits_BV, [row])
        drawn.append(row.log_weight)
        assert token == VOCAB.ids["云"]
    # A quarter of the mass is left where 光 was drawn first.
    assert {round(weight, 6) for weight in drawn} == {0.0, round(math.log(1 / 4), 6)}
    logits_BV[0, VOCAB.ids["云"]] = -math.inf
    assert sample_tokens(logits_BV, [row]) == [PAD]
    assert row.is_dead


def test_end_is_no_copy() -> None:
    assert EOS in (step.token for tokens in steps_of(COUPLET, [make_request()]) for step in tokens)
