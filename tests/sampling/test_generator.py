"""The generator on networks with known logits, and on random ones that show what is reproducible."""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from poetgen.config import Cell, ModelConfig, build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.conditions import NO_CONDITIONS, encode_conditions
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem
from poetgen.data.vocab import UNK, Vocabulary
from poetgen.engine.scoring import Likelihood, score
from poetgen.errors import ConstraintError, UsageError
from poetgen.prosody.forms import FORMS, form_of
from poetgen.prosody.marks import MARKS, STOPS
from poetgen.prosody.phonology import readings
from poetgen.prosody.scan import scan
from poetgen.sampling.decode import MAX_ATTEMPTS, LanguageModel
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.hypothesis import GivenUp, Restart, SampledToken
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import prepare_prompt
from poetgen.sampling.request import Request
from tests.sampling.models import (
    CONDITIONED_VOCAB,
    COUPLET,
    VOCAB,
    chain,
    exact_network,
    generate,
    make_generator,
    make_request,
    random_network,
    streamed_text,
    texts,
    unigram,
)

GREEDY: dict[str, Any] = {"temperature": 0}


def one_sample(network: LanguageModel, request: Request, *, max_tokens: int = 40) -> Sample:
    (sample,) = generate(make_generator(network, max_tokens=max_tokens), [request])
    return sample


# --- One poem --------------------------------------------------------------------------------------


def test_generate_greedily_takes_the_likeliest() -> None:
    sample = one_sample(COUPLET, make_request(**GREEDY))
    assert sample.poem.text == "床前明月光。"
    assert sample.ended
    assert sample.warnings == ()


def test_likelihood_counts_characters_marks_and_end() -> None:
    likelihood = one_sample(COUPLET, make_request(**GREEDY)).likelihood
    counts = (likelihood.poems, likelihood.tokens, likelihood.unknown_tokens, likelihood.hanzi)
    assert counts == (1, 7, 0, 5)
    assert likelihood.nats == pytest.approx(-math.log(0.75), abs=1e-3)


def test_likelihood_does_not_depend_on_the_options() -> None:
    cold = make_request(temperature=0.01, top_k=1, top_p=0.1, min_p=0.5)
    assert one_sample(COUPLET, cold).likelihood.nats == pytest.approx(-math.log(0.75), abs=1e-3)


def test_generate_follows_an_unlikely_prompt() -> None:
    assert one_sample(COUPLET, make_request("月，", **GREEDY)).poem.text == "月，云。"


def test_sample_tokens_spell_the_poem() -> None:
    sample = one_sample(COUPLET, make_request("鹤月，", **GREEDY))
    assert "".join(step.text for step in sample.tokens) == sample.poem.text == "鹤月，云。"
    assert [step.text for step in sample.tokens if not step.in_prompt] == ["云", "。", ""]


def test_sampled_nats_per_token_leaves_the_prompt_out() -> None:
    sample = one_sample(COUPLET, make_request("云，月", **GREEDY))
    assert sample.poem.text == "云，月光。"
    assert sample.likelihood.nats > 50  # the prompt is next to impossible
    assert sample.sampled_nats_per_token == pytest.approx(-math.log(0.75) / 3, abs=1e-3)


@pytest.mark.parametrize("temperature", [0, 1])
def test_generate_gives_no_empty_poem(temperature: float) -> None:
    generator = make_generator(unigram({"<eos>": 20, "床": 0}))
    requests = [make_request(index=i, temperature=temperature) for i in range(50)]
    assert texts(generate(generator, requests)) == ["床"] * 50


def test_generate_may_end_right_after_the_prompt() -> None:
    sample = one_sample(unigram({"<eos>": 20, "床": 0}), make_request("云", **GREEDY))
    assert (sample.poem.text, sample.likelihood.tokens) == ("云", 2)


@pytest.mark.parametrize("temperature", [1e-300, 1e-320])
def test_generate_at_a_temperature_next_to_0(temperature: float) -> None:
    assert one_sample(COUPLET, make_request(temperature=temperature)).poem.text == "床前明月光。"


# --- The limit of the length -----------------------------------------------------------------------


def test_generate_cuts_off_with_a_warning() -> None:
    sample = one_sample(unigram({"床": 0}), make_request(), max_tokens=5)
    assert sample.poem.text == "床床床床床"
    assert not sample.ended
    assert sample.warnings == ("cut off after 5 characters without an end",)
    assert sample.likelihood.tokens == 5


def test_generate_does_not_cut_off_an_end_on_the_limit() -> None:
    sample = one_sample(COUPLET, make_request(**GREEDY), max_tokens=7)
    assert (sample.poem.text, sample.ended, sample.warnings) == ("床前明月光。", True, ())


def test_generate_takes_the_limit_from_the_config() -> None:
    config = build_config({"data": {"max_tokens": 16}})
    generator = make_generator(unigram({"床": 0}), max_tokens=None, config=config)
    assert texts(generate(generator, [make_request()])) == ["床" * 16]


def test_generate_continues_a_prompt_beyond_the_limit() -> None:
    long = "床前明月光，" * 100
    sample = one_sample(unigram({"云": 0}), make_request(long), max_tokens=4)
    assert sample.poem.text == long + "云云云云"
    assert sample.likelihood.tokens == 604
    assert sample.likelihood.hanzi == 504
    assert sample.warnings == ("cut off after 604 characters without an end",)


def test_generate_counts_the_limit_from_each_prompt() -> None:
    generator = make_generator(unigram({"云": 0}), max_tokens=2)
    samples = generate(generator, [make_request("床" * i, index=i) for i in range(4)])
    assert texts(samples) == ["云云", "床云云", "床床云云", "床床床云云"]


# --- Unknown characters ----------------------------------------------------------------------------


def test_generate_keeps_an_unknown_character() -> None:
    network = chain({"<unk>": {"月": 1}, "月": {"<eos>": 1}})
    sample = one_sample(network, make_request("鹤", **GREEDY))
    assert sample.poem.text == "鹤月"
    assert sample.likelihood.unknown_tokens == 1
    assert (sample.tokens[0].token, sample.tokens[0].in_prompt) == (UNK, True)


def test_sample_repeats_the_warnings_of_its_request() -> None:
    generator = make_generator(unigram({"月": 0}), max_tokens=4)
    (sample,) = generate(generator, [generator.request(Options("床鹤"), seed=1)])
    assert sample.poem.text == "床鹤月月月月"
    assert "鹤 (U+9E64" in sample.warnings[0]
    assert sample.warnings[1] == "cut off after 6 characters without an end"


def test_likelihood_of_an_unknown_character() -> None:
    # Uniform over three symbols; six Han characters have an id.
    generator = make_generator(unigram({"<unk>": 0, "<eos>": 0, "云": 0}))
    prompt = prepare_prompt("云鹤", VOCAB)
    requests = [replace(make_request(index=i), prompt=prompt) for i in range(20)]
    sample = next(s for s in generate(generator, requests) if s.likelihood.tokens == 3)
    assert sample.likelihood.nats == pytest.approx(3 * math.log(3) + math.log(20992 - 6), abs=1e-8)


# --- Many requests ---------------------------------------------------------------------------------


def test_generate_keeps_the_order_of_the_requests() -> None:
    prompts = ["床", "云", "。", "月，", "前"]
    requests = [make_request(prompt, index=i, **GREEDY) for i, prompt in enumerate(prompts)]
    samples = generate(make_generator(COUPLET), requests)
    assert texts(samples) == ["床前明月光。", "云。", "。", "月，云。", "前明月光。"]
    assert [sample.request for sample in samples] == requests


def test_generate_of_no_requests() -> None:
    assert generate(make_generator(COUPLET), []) == []


def test_generate_takes_requests_as_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[Request]:
        for index in count():
            taken.append(index)
            yield make_request(index=index, **GREEDY)

    results = make_generator(COUPLET).generate(endless(), batch_size=4)
    assert [result.request.index for result in islice(results, 6)] == [0, 1, 2, 3, 4, 5]
    assert len(taken) == 12  # these poems end together, and four more have entered


@pytest.mark.parametrize("batch_size", [0, -1])
def test_generate_refuses_a_batch_size_below_1(batch_size: int) -> None:
    with pytest.raises(UsageError, match=f"the batch size {batch_size} is less than 1"):
        make_generator(COUPLET).generate([], batch_size=batch_size)


def test_generate_continues_after_a_failure() -> None:
    generator = make_generator(unigram({"月": 1, "。": 0}), max_tokens=9)
    requests = [
        make_request(),
        make_request("云", index=1, acrostic="床前", particles=1),
        make_request("床", index=2, acrostic="床前", particles=1),
    ]
    free, failure, met = generator.generate(requests)
    assert isinstance(free, Sample)
    assert isinstance(failure, Failure)
    assert failure.request == requests[1]
    assert failure.error.why == "character 1 (云) does not fit here: 床 is required"
    assert isinstance(met, Sample)
    assert [line[0] for line in met.poem.lines] == ["床", "前"]


def test_generate_with_different_options_in_a_batch() -> None:
    network, vocab = random_network()
    generator = make_generator(network, vocab, max_tokens=12)
    variants: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 1},
        {"temperature": 0.7, "top_k": 3},
        {"temperature": 2, "top_p": 0.5},
        {"temperature": 1.5, "min_p": 0.2},
    ]
    requests = [make_request(seed=3, index=i, **one) for i, one in enumerate(variants * 4)]
    together = texts(generate(generator, requests))
    assert together == [text for one in requests for text in texts(generate(generator, [one]))]
    assert len({together[i] for i in range(0, 20, 5)}) == 1  # greedy ones do not draw
    assert len(set(together)) > 10


def test_generate_with_top_k_beyond_the_vocabulary() -> None:
    network, vocab = random_network()
    generator = make_generator(network, vocab, max_tokens=9)
    free, limited = (
        texts(generate(generator, [make_request(temperature=1, top_k=k)])) for k in (0, 10**20)
    )
    assert free == limited


# --- Distributions ---------------------------------------------------------------------------------


def chi_square(found: Counter[str], expected: Mapping[str, float]) -> float:
    total = sum(found.values())
    assert set(found) <= set(expected)
    return sum((found[s] - p * total) ** 2 / (p * total) for s, p in expected.items())


# With two degrees of freedom, one seed in 10,000 gives a chi-square above this; with three 21.1.
UNLIKELY = 18.4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 1}, {"床": 0.5, "前": 0.3, "": 0.2}),
        ({"temperature": 0.5}, {"床": 25 / 38, "前": 9 / 38, "": 4 / 38}),
        ({"temperature": 1, "top_k": 2}, {"床": 5 / 8, "前": 3 / 8}),
        ({"temperature": 1, "top_p": 0.7}, {"床": 5 / 8, "前": 3 / 8}),
        ({"temperature": 1, "min_p": 0.5}, {"床": 5 / 8, "前": 3 / 8}),
    ],
    ids=str,
)
def test_generate_draws_by_the_models_distribution(
    options: dict[str, Any], expected: Mapping[str, float]
) -> None:
    network = unigram({"床": math.log(0.5), "前": math.log(0.3), "<eos>": math.log(0.2)})
    requests = [make_request("云", seed=11, index=i, **options) for i in range(3000)]
    samples = generate(make_generator(network, max_tokens=1), requests)
    assert chi_square(Counter(text[1:] for text in texts(samples)), expected) < UNLIKELY


def test_generate_draws_each_token_given_the_last() -> None:
    network = chain(
        {
            "<bos>": {"床": 0.6, "前": 0.4},
            "床": {"月": 0.9, "云": 0.1},
            "前": {"月": 0.2, "云": 0.8},
        }
    )
    requests = [make_request(seed=2, index=i, temperature=1) for i in range(3000)]
    found = Counter(texts(generate(make_generator(network, max_tokens=2), requests)))
    assert chi_square(found, {"床月": 0.54, "床云": 0.06, "前月": 0.08, "前云": 0.32}) < 21.1


# --- The same poem at any batch size ---------------------------------------------------------------


def various_requests(num: int) -> list[Request]:
    """Rows of different prompts, temperatures and filters."""
    prompts = ["", "床", "明月，", "鹤云"]
    variants: list[dict[str, Any]] = [
        {"temperature": 1},
        {"temperature": 0.8},
        {"temperature": 1.2, "top_p": 0.9},
    ]
    return [make_request(prompts[i % 4], seed=7, index=i, **variants[i % 3]) for i in range(num)]


def conditioned_requests(num: int) -> list[Request]:
    """Rows of one batch start their poems at one of four positions, with or without a prompt."""
    conditions: list[dict[str, Any]] = [
        {},
        {"form": "五绝"},
        {"form": "七绝", "author": "竹客"},
        {"title": "明月光"},
        {"form": "五绝", "author": "溪翁", "title": "床"},
    ]
    prompts = ["", "床", "明月，"]
    return [
        make_request(
            prompts[i % 3],
            seed=7,
            index=i,
            temperature=1,
            soft="form" in conditions[i % 5],
            **conditions[i % 5],
        )
        for i in range(num)
    ]


def by_index(
    generator: Generator, requests: Sequence[Request], batch_size: int
) -> dict[int, tuple[list[tuple[str, float]], Likelihood]]:
    """Return what is to be the same bit for bit: the poems, and the probability of each step."""
    samples = generate(generator, requests, batch_size=batch_size)
    return {
        sample.request.index: (
            [(step.text, step.nats) for step in sample.tokens],
            sample.likelihood,
        )
        for sample in samples
    }


def poems_at_any_batch_size(generator: Generator, requests: Sequence[Request]) -> set[str]:
    """Return the distinct poems, having compared batch sizes and another order of the requests."""
    num = len(requests)
    poems = by_index(generator, requests, 64)
    assert len(poems) == num
    assert math.gcd(7, num) == 1
    shuffled = [requests[i * 7 % num] for i in range(num)]
    assert by_index(generator, shuffled, 64) == poems
    for batch_size in (1, 3, 7, 33):
        assert by_index(generator, requests, batch_size) == poems
    return {"".join(text for text, _ in steps) for steps, _ in poems.values()}


def test_generate_at_any_batch_size() -> None:
    network, vocab = random_network()
    generator = make_generator(network, vocab, max_tokens=8)
    poems = poems_at_any_batch_size(generator, various_requests(300))
    assert len(poems) > 225


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_generate_at_any_batch_size_with_other_cells(cell: Cell) -> None:
    network, vocab = random_network(cell)
    poems_at_any_batch_size(make_generator(network, vocab, max_tokens=8), various_requests(150))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_generate_at_any_batch_size_with_conditions(cell: Cell) -> None:
    network, vocab = random_network(cell, CONDITIONED_VOCAB)
    requests = conditioned_requests(200)
    starts = {len(encode_conditions(one.options.conditions, vocab)) for one in requests}
    assert len(starts) == 4
    poems = poems_at_any_batch_size(make_generator(network, vocab, max_tokens=8), requests)
    assert len(poems) > 130


def test_generate_gives_the_same_poem_for_any_number() -> None:
    network, vocab = random_network()
    generator = make_generator(network, vocab, max_tokens=8)
    requests = [make_request(seed=9, index=i, temperature=1) for i in range(100)]
    many = texts(generate(generator, requests))
    for num in (1, 3, 10):
        assert texts(generate(generator, requests[:num])) == many[:num]


def test_generate_differs_by_seed_and_index() -> None:
    network, vocab = random_network()
    requests = [
        make_request(seed=seed, index=i, temperature=1) for seed in (1, 2) for i in range(20)
    ]
    assert len(set(texts(generate(make_generator(network, vocab, max_tokens=12), requests)))) > 35


# --- The same poem on any machine ------------------------------------------------------------------


def fixed_samples() -> list[Sample]:
    network, vocab = random_network(known=CONDITIONED_VOCAB)
    variants: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 0.8, "top_p": 0.9},
        {"temperature": 1, "form": "五绝", "particles": 4},
        {"temperature": 1, "title": "明月", "best_of": 3},
    ]
    requests = [make_request("床", seed=6, index=i, **one) for i, one in enumerate(variants)]
    return generate(make_generator(network, vocab, max_tokens=8), requests)


def test_generate_gives_known_poems_with_known_bits() -> None:
    samples = fixed_samples()
    assert texts(samples) == KNOWN_POEMS
    assert [sample.likelihood.nats.hex() for sample in samples] == KNOWN_NATS


KNOWN_POEMS = [
    "床屽屽屽！！屽！床",
    "床岗屽屽光",
    "床屲屽岑屵！屽岇岖床床！屵屳床屵床！岑岋床光岑！",
    "床",
]
KNOWN_NATS = [
    "0x1.63f7d9a2dda94p+4",
    "0x1.218a3574734d2p+4",
    "0x1.1ee5d869ef71bp+6",
    "0x1.7544c6b3ecee7p+2",
]


def test_generate_calls_no_function_of_a_library_that_rounds_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_args: Any, **_keywords: Any) -> Any:
        raise AssertionError

    expected = fixed_samples()
    for module in (np, math):
        for name in (
            "exp",
            "exp2",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "tanh",
            "pow",
            "cbrt",
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refused)
    for name in ("power", "float_power", "logaddexp", "logaddexp2", "sum", "mean", "dot", "einsum"):
        monkeypatch.setattr(np, name, refused)
    with pytest.raises(AssertionError):
        np.exp(1.0)
    assert fixed_samples() == expected


def test_generate_needs_no_torch() -> None:
    program = """
import sys
sys.modules["torch"] = None  # importing it fails
from poetgen.sampling.unique import UniquePoems
from tests.sampling.models import make_generator, make_request, random_network, texts
network, vocab = random_network()
unique = UniquePoems(make_generator(network, vocab, max_tokens=8))
request = make_request(seed=3, temperature=1, acrostic="床明", particles=4)
(sample,) = map(unique.distinct, unique._generator.generate([request]))
print(sample.poem.text[0])
"""
    command = [sys.executable, "-X", "utf8", "-c", program]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout.strip(), done.stderr) == ("床", "")


# --- Sampling and scoring agree --------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_likelihood_equals_the_score_of_the_text(cell: Cell) -> None:
    network, vocab = random_network(cell)
    prompts = ["", "床前", "鹤云"]
    requests = [
        make_request(prompts[i % 3], seed=4, index=i, temperature=0.8, top_k=20) for i in range(90)
    ]
    generator = make_generator(network, vocab, max_tokens=60)
    samples = [sample for sample in generate(generator, requests) if sample.ended]
    assert len(samples) > 20
    scores = score(network, [sample.poem for sample in samples], vocab)
    for sample, scored in zip(samples, scores, strict=True):
        assert sample.likelihood == scored  # to the last bit
    assert any(sample.likelihood.unknown_tokens for sample in samples)


def test_likelihood_equals_the_score_given_the_conditions() -> None:
    network, vocab = random_network(known=CONDITIONED_VOCAB)
    generator = make_generator(network, vocab, max_tokens=60)
    samples = [one for one in generate(generator, conditioned_requests(90)) if one.ended]
    assert len(samples) > 20
    poems = [sample.poem for sample in samples]
    conditions = [sample.request.options.conditions for sample in samples]
    scores = score(network, poems, vocab, conditions=conditions)
    for sample, scored in zip(samples, scores, strict=True):
        assert sample.likelihood == scored
    bare = score(network, poems, vocab)
    differences = [abs(a.nats - b.nats) for a, b in zip(scores, bare, strict=True)]
    pairs = list(zip(conditions, differences, strict=True))
    assert {by for one, by in pairs if one == NO_CONDITIONS} == {0}
    given_any = [by > 1e-2 for one, by in pairs if one != NO_CONDITIONS]
    assert sum(given_any) > 0.9 * len(given_any) > 10


def test_likelihood_of_a_particle_equals_the_score(generator: Generator) -> None:
    # Each particle continues from the state of the one that it was copied from.
    options: dict[str, Any] = {"temperature": 1, "form": "五绝", "rhyme": True, "particles": 6}
    requests = [make_request(seed=4, index=i, **options) for i in range(10)]
    samples = generate(generator, requests, batch_size=25)
    poems = [sample.poem for sample in samples]
    assert len({poem.text for poem in poems}) == 10
    scores = score(generator.bundle.engine, poems, generator.bundle.vocab)
    assert [sample.likelihood for sample in samples] == scores


def test_likelihood_of_a_cut_off_poem_lacks_the_end() -> None:
    network = unigram({"床": math.log(0.75), "<eos>": math.log(0.25)})
    sample = one_sample(network, make_request("床床床", **GREEDY), max_tokens=2)
    assert sample.poem.text == "床床床床床"
    assert sample.likelihood.nats == pytest.approx(-5 * math.log(0.75), abs=5e-3)
    (scored,) = score(make_generator(network).bundle.engine, [sample.poem], VOCAB)
    assert scored.nats - sample.likelihood.nats == pytest.approx(-math.log(0.25), abs=1e-3)


# --- Conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conditions", [{"form": "五绝", "soft": True}, {"title": "明月光"}], ids=str
)
@pytest.mark.parametrize("temperature", [0, 1])
def test_generate_gives_no_empty_poem_after_conditions(
    temperature: float, conditions: dict[str, Any]
) -> None:
    network = unigram({"<eos>": 20, "床": 0}, CONDITIONED_VOCAB)
    generator = make_generator(network, CONDITIONED_VOCAB, max_tokens=9)
    requests = [make_request(index=i, temperature=temperature, **conditions) for i in range(50)]
    samples = generate(generator, requests)
    assert texts(samples) == ["床"] * 50
    assert {sample.likelihood.tokens for sample in samples} == {2}


def test_generate_does_not_count_conditions_in_the_limit() -> None:
    network = unigram({"云": 0}, CONDITIONED_VOCAB)
    conditions: list[dict[str, Any]] = [
        {},
        {"form": "五绝", "soft": True},
        {"form": "五绝", "soft": True, "author": "竹客", "title": "明月光"},
    ]
    requests = [make_request("床", index=i, **one) for i, one in enumerate(conditions)]
    samples = generate(make_generator(network, CONDITIONED_VOCAB, max_tokens=4), requests)
    assert texts(samples) == ["床云云云云"] * 3
    assert {one.likelihood.tokens for one in samples} == {5}
    assert {one.warnings for one in samples} == {("cut off after 5 characters without an end",)}


def test_generate_depends_on_the_conditions() -> None:
    network, vocab = random_network(known=CONDITIONED_VOCAB)
    conditions: list[dict[str, Any]] = [
        {},
        {"form": "五绝", "soft": True},
        {"form": "七绝", "soft": True},
        {"title": "明月"},
    ]
    requests = [make_request(temperature=1, **one) for one in conditions]
    generator = make_generator(network, vocab, max_tokens=12)
    assert len(set(texts(generate(generator, requests)))) == 4


def test_generate_ignores_conditions_without_a_symbol() -> None:
    network, vocab = random_network()
    requests = [
        make_request(temperature=1, form="五绝", soft=True, author="竹客", title="明月"),
        make_request(temperature=1),
    ]
    generator = make_generator(network, vocab, max_tokens=12)
    assert len(set(texts(generate(generator, requests)))) == 1


# --- Lines of the training text --------------------------------------------------------------------

TRAINING_LINES = (LineBloomFilter.from_poems([Poem("床前明月光。")]),)


@pytest.mark.parametrize("temperature", [0, 1])
def test_generate_rejects_a_training_line(temperature: float) -> None:
    requests = [make_request(index=i, temperature=temperature) for i in range(50)]
    filtered = texts(generate(make_generator(COUPLET, training_lines=TRAINING_LINES), requests))
    assert all("床前明月光" not in text for text in filtered)
    assert all(text.startswith("床前明月") for text in filtered)
    assert "床前明月光。" in texts(generate(make_generator(COUPLET), requests))


def test_generate_may_allow_copies() -> None:
    generator = make_generator(COUPLET, training_lines=TRAINING_LINES)
    requests = [make_request(temperature=0, allow_copies=True)]
    assert texts(generate(generator, requests)) == ["床前明月光。"]


@pytest.mark.parametrize("particles", [1, 4])
def test_generate_rejects_a_training_line_under_constraints(particles: int) -> None:
    options: dict[str, Any] = {"temperature": 1, "acrostic": "床云", "particles": particles}
    network = chain(
        {
            "<bos>": {"床": 1},
            "床": {"前": 1},
            "前": {"明": 1},
            "明": {"月": 1},
            "月": {"光": 0.8, "云": 0.2},
            "光": {"，": 1},
            "云": {"，": 1},
        }
    )
    requests = [make_request(index=i, **options) for i in range(30)]

    def first_lines(*training_lines: LineBloomFilter) -> set[str]:
        generator = make_generator(network, training_lines=training_lines)
        return {sample.poem.lines[0] for sample in generate(generator, requests)}

    assert first_lines(*TRAINING_LINES) == {"床前明月云"}
    assert first_lines() == {"床前明月云", "床前明月光"}


def test_generate_accepts_a_copy_that_the_prompt_begins() -> None:
    network = chain(
        {"。": {"床": 1}, "床": {"前": 1}, "前": {"明": 1}, "明": {"月": 1}, "月": {"光": 1}}
    )
    generator = make_generator(network, training_lines=TRAINING_LINES, max_tokens=5)
    requests = [make_request(prompt, **GREEDY) for prompt in ("床前", "云。")]
    line_of_the_user, line_of_the_model = texts(generate(generator, requests))
    assert line_of_the_user.startswith("床前明月光")
    assert "床前明月光" not in line_of_the_model


# --- Candidates ------------------------------------------------------------------------------------


def test_generate_keeps_the_likeliest_candidate() -> None:
    network, vocab = random_network()
    generator = make_generator(network, vocab, max_tokens=60)
    requests = [make_request("床", seed=3, index=i, temperature=1, best_of=5) for i in range(20)]
    best = generate(generator, requests)
    assert [sample.request for sample in best] == requests
    for sample in best:
        candidates = [
            replace(sample.request, options=Options(temperature=1), candidate=number)
            for number in range(5)
        ]
        rivals = generate(generator, candidates)
        eligible = [rival for rival in rivals if rival.ended] or rivals
        likeliest = min(eligible, key=lambda rival: rival.sampled_nats_per_token)
        assert (sample.poem, sample.likelihood) == (likeliest.poem, likeliest.likelihood)
    assert texts(generate(generator, requests, batch_size=3)) == texts(best)


def test_generate_returns_the_first_failing_candidate() -> None:
    request = make_request("云", acrostic="床前", best_of=3)
    (failure,) = make_generator(COUPLET).generate([request])
    assert isinstance(failure, Failure)
    assert failure.request == request


# --- Dead ends -------------------------------------------------------------------------------------


def test_generate_restarts_after_a_dead_end() -> None:
    network = chain(
        {
            "<bos>": {"床": 1},
            "床": {"前": 1},
            "前": {"明": 1},
            "明": {"月": 0.9, "云": 0.1},
            "月": {"月": 1},
            "云": {"月": 1},
        }
    )
    lines = (LineBloomFilter.from_poems([Poem("床前明月月月光。")]),)
    requests = [
        make_request(index=i, temperature=1, acrostic="光", acrostic_at="end", particles=1)
        for i in range(40)
    ]
    results = list(make_generator(network, training_lines=lines).generate(requests, batch_size=5))
    # Of eight attempts at 床前明云月月光 with a probability of 1 in 10 each, 57% succeed.
    met = [result.poem.text for result in results if isinstance(result, Sample)]
    assert {text[:-1] for text in met} == {"床前明云月月光"}
    assert 12 < len(met) < 34


def test_stream_voids_the_tokens_before_a_restart() -> None:
    network = chain({"<bos>": {"床": 0.3, "月": 0.7}, "床": {"床": 1}, "月": {"月": 1}})
    lines = (LineBloomFilter.from_poems([Poem("床床床床床床光。")]),)
    generator = make_generator(network, training_lines=lines)
    requests = [
        make_request(index=i, temperature=1, acrostic="光", acrostic_at="end", particles=1)
        for i in range(20)
    ]
    num_restarted = 0
    for request, result in zip(requests, generator.generate(requests), strict=True):
        text = ""
        for event in generator.stream(request):
            num_restarted += isinstance(event, Restart)
            text = text + event.text if isinstance(event, SampledToken) else ""
        assert isinstance(result, Sample)
        assert text == result.poem.text
        assert text.startswith("月月月月月月光")
    assert num_restarted > 3


def test_stream_ends_with_the_reason_of_a_failure() -> None:
    generator = make_generator(COUPLET)
    (event,) = generator.stream(make_request("云", acrostic="床前"))
    assert isinstance(event, GivenUp)
    assert event.error.exit_code == 3
    # The required character completes a copy on every attempt.
    lines = (LineBloomFilter.from_poems([Poem("月月月月月月光。")]),)
    generator = make_generator(chain({"<bos>": {"月": 1}, "月": {"月": 1}}), training_lines=lines)
    request = make_request(acrostic="光", acrostic_at="end", particles=1)
    *_, last = events = list(generator.stream(request))
    assert isinstance(last, GivenUp)
    assert sum(isinstance(event, Restart) for event in events) == MAX_ATTEMPTS - 1
    (failure,) = generator.generate([request])
    assert isinstance(failure, Failure)
    assert failure.error.why == last.error.why


def test_stream_gives_the_poem_of_generate() -> None:
    network, vocab = random_network(known=CONDITIONED_VOCAB)
    generator = make_generator(network, vocab, max_tokens=20)
    requests = conditioned_requests(40)
    assert texts(generate(generator, requests)) == [streamed_text(generator, r) for r in requests]


def test_stream_yields_each_token_as_it_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    network, steps = unigram({"床": 0}), list[int]()
    original = network.step

    def counted(*args: Any) -> Any:
        steps.append(1)
        return original(*args)

    monkeypatch.setattr(network, "step", counted)
    stream = make_generator(network, max_tokens=10**9).stream(make_request("云"))
    for number in range(1, 5):
        assert isinstance(next(stream), SampledToken)
        assert len(steps) == number


# --- Generator.request -----------------------------------------------------------------------------


def test_request_is_checked() -> None:
    generator = make_generator(COUPLET)
    request = generator.request(Options("牀前", acrostic="床前"), seed=3, index=2)
    assert (request.prompt.text, request.seed, request.index) == ("床前", 3, 2)
    with pytest.raises(UsageError):
        generator.request(Options("鹤"), seed=3)
    with pytest.raises(ConstraintError, match="does not fit here: 床 is required"):
        generator.request(Options("云", acrostic="床前"), seed=3)
    with pytest.raises(ConstraintError, match="the model has fewer than the 3 characters needed"):
        generator.request(Options(form="五绝", rhyme=True), seed=3)


# --- Constraints, on the starter verses ------------------------------------------------------------

ACROSTIC = "春夏秋冬山水风月"
UNKNOWN = "鳌"


@pytest.fixture(scope="module")
def vocab(starter: Corpus) -> Vocabulary:
    return Vocabulary.build(starter.splits["train"], min_count=1)


@pytest.fixture(scope="module")
def generator(vocab: Vocabulary) -> Generator:
    """Untrained weights with widely spread logits: masks leave much of the mass, or little."""
    shape = ModelConfig(embedding_size=12, hidden_size=16, num_layers=1)
    network = exact_network(vocab, shape, {**dict.fromkeys(MARKS, 3.0), "<eos>": 4.0})
    return make_generator(network, vocab, max_tokens=60)


def faults(sample: Sample) -> list[str]:
    """Return the constraints that the poem violates, judged by `scan` and by its text."""
    options, lines, text = sample.request.options, sample.poem.lines, sample.poem.text
    found = []
    if not text.startswith(sample.request.prompt.text):
        found.append("prompt")
    if options.form:
        marks = [character for character in text if character in MARKS]
        if form_of(lines) != options.form or text[-1] not in MARKS or not sample.ended:
            found.append("form")
        if any(mark not in (STOPS if i % 2 else "，？！") for i, mark in enumerate(marks)):
            found.append("marks")
    if options.tones:
        scanned = scan(lines)
        if scanned is None or any(
            line.breaks or line.lone_level or line.three_level_end for line in scanned.lines
        ):
            found.append("tones")
    if options.rhyme:
        found += rhyme_faults(options, lines if sample.ended else lines[:-1])
    if options.acrostic:
        position = 0 if options.acrostic_at == "start" else -1
        if "".join(line[position] for line in lines) != options.acrostic or not sample.ended:
            found.append("acrostic")
    return found


def rhyme_faults(options: Options, lines: Sequence[str]) -> list[str]:
    ends = [line[-1] for line in lines[1::2]]
    groups = [{r.rhyme for r in readings(c) if r.tone == "平" or not options.form} for c in ends]
    shared = set[str].intersection(*groups) if groups else set[str]()
    wanted = {options.rhyme_group} if options.rhyme_group else shared
    found = [] if not ends or shared & wanted else ["rhyme"]
    scanned = scan(lines) if options.form else None
    if scanned is not None and not scanned.level_rhyme:
        found.append("level rhyme")
    return found + ["rhymed twice"] * (len(set(ends)) < len(ends))


@st.composite
def constraint_sets(draw: st.DrawFn) -> dict[str, Any]:
    form = draw(st.sampled_from(["", *FORMS]))
    num_lines = FORMS[form].num_lines if form else draw(st.integers(1, 6))
    at_end = draw(st.booleans())
    rhyme = draw(st.booleans())
    tones = bool(form) and draw(st.booleans())
    # At the ends of the lines the acrostic decides rhyme and tone; that is another test.
    has_acrostic = draw(st.booleans()) and not (at_end and (rhyme or tones))
    characters = st.lists(
        st.sampled_from(ACROSTIC + UNKNOWN), min_size=num_lines, max_size=num_lines
    )
    return {
        "form": form,
        "rhyme": rhyme,
        "rhyme_group": draw(st.sampled_from(["", "东", "先", "尤"])) if rhyme else "",
        "tones": tones,
        "acrostic": "".join(draw(characters)) if has_acrostic else "",
        "acrostic_at": "end" if at_end else "start",
    }


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    constraints=constraint_sets(),
    seed=st.integers(0, 10**6),
    particles=st.sampled_from([1, 3]),
    filters=st.sampled_from(
        [
            {"temperature": 1},
            {"temperature": 0},
            {"temperature": 0.7, "top_k": 5},
            {"temperature": 1, "top_p": 0.3},
        ]
    ),
    cut=st.floats(0, 1),
)
@example(
    constraints={"form": "五绝", "rhyme": True, "tones": True},
    seed=1,
    particles=3,
    filters={"temperature": 1},
    cut=0.5,
)
@example(
    constraints={"form": "七律", "rhyme": True, "tones": True, "acrostic": ACROSTIC},
    seed=2,
    particles=1,
    filters={"temperature": 0},
    cut=0.9,
)
def test_generate_meets_every_combination_of_constraints(
    generator: Generator,
    constraints: dict[str, Any],
    seed: int,
    particles: int,
    filters: dict[str, Any],
    cut: float,
) -> None:
    options = {**constraints, **filters, "particles": particles}
    request = make_request(seed=seed, **options)
    (sample,) = generate(generator, [request])
    assert faults(sample) == []
    assert streamed_text(generator, request) == sample.poem.text
    # Whatever can be generated can be a prompt.
    beginning = sample.poem.text[: int(cut * len(sample.poem.text))]
    (continued,) = generate(generator, [make_request(beginning, seed=seed, index=1, **options)])
    assert faults(continued) == []


def constrained_requests(num: int) -> list[Request]:
    """Rows of different constraints, prompts, filters and numbers of particles."""
    constraints: list[dict[str, Any]] = [
        {"form": "五绝", "rhyme": True, "tones": True},
        {},
        {"form": "七绝", "rhyme": True},
        {"rhyme": True},
        {"acrostic": "春夏" + UNKNOWN},
        {"form": "五绝", "tones": True, "acrostic": "春夏秋冬"},
    ]
    prompts = ["", "山月", f"山{UNKNOWN}", ""]
    variants: list[dict[str, Any]] = [
        {"temperature": 1, "particles": 1},
        {"temperature": 0.8, "particles": 4},
        {"temperature": 1, "top_p": 0.9, "particles": 1},
    ]
    return [
        make_request(
            "" if "acrostic" in constraints[i % 6] else prompts[i % 4],
            seed=7,
            index=i,
            **variants[i // 6 % 3],
            **constraints[i % 6],
        )
        for i in range(num)
    ]


def test_generate_at_any_batch_size_under_constraints(generator: Generator) -> None:
    poems = poems_at_any_batch_size(generator, constrained_requests(36))
    assert len(poems) > 32


def test_generate_continues_after_refused_prompts(generator: Generator) -> None:
    regulated: dict[str, Any] = {"form": "五绝", "rhyme": True, "tones": True}
    requests = [
        make_request(index=0, **regulated),
        make_request("山月，", index=1, **regulated),
        make_request(index=2),
        make_request("春", index=3, acrostic="夏"),
        make_request(index=4, **regulated),
    ]
    results = list(generator.generate(requests))
    assert [isinstance(result, Failure) for result in results] == [False, True, False, True, False]
    assert [result.request for result in results] == requests
    assert [result.error.why for result in results if isinstance(result, Failure)] == [
        "， after character 2 (月) ends a line of 2; the lines of 五绝 have 5 characters",
        "character 1 (春) does not fit here: 夏 is required",
    ]
    single = [next(generator.generate([request])) for request in requests]
    assert [one.poem for one in single if isinstance(one, Sample)] == [
        one.poem for one in results if isinstance(one, Sample)
    ]


def test_generate_meets_a_rhyming_acrostic_at_the_ends(generator: Generator) -> None:
    options: dict[str, Any] = {"form": "五绝", "rhyme": True, "tones": True}
    requests = [
        make_request(
            seed=2, index=i, acrostic="月流目楼", acrostic_at="end", particles=k, **options
        )
        for i in range(6)
        for k in (1, 4)
    ]
    assert all(faults(sample) == [] for sample in generate(generator, requests))


def test_generate_forces_an_unknown_acrostic_character(generator: Generator) -> None:
    (sample,) = generate(generator, [make_request(acrostic=f"春{UNKNOWN}")])
    assert [line[0] for line in sample.poem.lines] == ["春", UNKNOWN]
    assert sample.likelihood.unknown_tokens == 1
    (step,) = (step for step in sample.tokens if step.token == UNK)
    assert (step.text, step.in_prompt) == (UNKNOWN, False)


def test_generate_uses_particles_under_constraints_only(generator: Generator) -> None:
    many, one = (make_request(temperature=1, particles=k) for k in (8, 1))
    assert streamed_text(generator, many) == streamed_text(generator, one)


def test_generate_completes_a_form_beyond_the_limit(generator: Generator) -> None:
    short = Generator(generator.bundle, max_tokens=3)
    for particles in (1, 4):
        (sample,) = generate(short, [make_request(form="七律", particles=particles)])
        assert sample.likelihood.tokens == 65
        assert sample.ended
