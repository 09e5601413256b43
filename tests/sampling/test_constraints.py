"""Constrained sampling on a small random model: whatever is asked for is kept, in any combination."""

from collections.abc import Sequence
from itertools import islice

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from poetgen.data.corpus import Corpus
from poetgen.data.poem import MARKS, STOPS
from poetgen.data.vocab import EOS, SPECIALS, UNK, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.model.lstm import PoemLSTM
from poetgen.prosody.forms import FORMS, form_of, scan
from poetgen.prosody.phonology import readings
from poetgen.sampling.constraints import check_prompt, masks_of, rules_for
from poetgen.sampling.decode import Failed, Sample, generate, generate_steps
from poetgen.sampling.draft import ANY_CHARACTER, Kind, Next
from poetgen.sampling.prompt import NO_PROMPT, Prompt
from poetgen.sampling.request import NO_CONSTRAINTS, Constraints, Request, Settings
from poetgen.sampling.writing import Choice, Setback

WRITTEN_FREELY = 60
ACROSTIC = "春夏秋冬山水风月"
UNKNOWN = "鳌"


@pytest.fixture(scope="module")
def vocab(starter: Corpus) -> Vocabulary:
    return Vocabulary.build(starter.splits["train"], min_count=1)


@pytest.fixture(scope="module")
def model(vocab: Vocabulary) -> PoemLSTM:
    """Untrained weights with logits spread wide, so that masks leave now much, now little."""
    torch.manual_seed(5)
    network = PoemLSTM(len(vocab), embedding_size=12, hidden_size=16, num_layers=1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(4)
        network.output_bias[[vocab.ids[mark] for mark in MARKS]] = 3
        network.output_bias[EOS] = 4
    return network.eval().requires_grad_(False)


def write(
    model: PoemLSTM, vocab: Vocabulary, requests: Sequence[Request], *, batch_size: int = 64
) -> list[Sample | Failed]:
    return list(generate(model, vocab, requests, max_tokens=WRITTEN_FREELY, batch_size=batch_size))


def write_one(model: PoemLSTM, vocab: Vocabulary, request: Request) -> Sample:
    (result,) = write(model, vocab, [request])
    assert isinstance(result, Sample), result
    return result


def streamed(model: PoemLSTM, vocab: Vocabulary, request: Request) -> str:
    text = ""
    for column in generate_steps(model, vocab, [request], max_tokens=WRITTEN_FREELY):
        for event in column:
            assert isinstance(event, Choice), event
            text += event.text
    return text


def faults(sample: Sample) -> list[str]:
    """Which constraints the poem breaks, judged by `scan` and by its text alone."""
    constraints, lines, text = sample.request.constraints, sample.poem.lines, sample.poem.text
    found = []
    if not text.startswith(sample.request.prompt.text):
        found.append("prompt")
    if constraints.form:
        marks = [character for character in text if character in MARKS]
        if form_of(lines) != constraints.form or text[-1] not in MARKS or not sample.ended:
            found.append("form")
        if any(mark not in (STOPS if i % 2 else "，？！") for i, mark in enumerate(marks)):
            found.append("marks")
    if constraints.tones:
        scanned = scan(lines)
        if scanned is None or any(
            line.breaks or line.lone_level or line.three_level_end for line in scanned.lines
        ):
            found.append("tones")
    if constraints.rhyme or constraints.rhyme_group:
        found += rhyme_faults(constraints, lines if sample.ended else lines[:-1])
    if constraints.acrostic:
        place = 0 if constraints.acrostic_at == "start" else -1
        if "".join(line[place] for line in lines) != constraints.acrostic or not sample.ended:
            found.append("acrostic")
    return found


def rhyme_faults(constraints: Constraints, lines: Sequence[str]) -> list[str]:
    ends = [line[-1] for line in lines[1::2]]
    groups = [
        {r.rhyme for r in readings(end) if r.tone == "平" or not constraints.form} for end in ends
    ]
    shared = set[str].intersection(*groups) if groups else set[str]()
    wanted = {constraints.rhyme_group} if constraints.rhyme_group else shared
    found = [] if not ends or shared & wanted else ["rhyme"]
    scanned = scan(lines) if constraints.form else None
    if scanned is not None and not scanned.level_rhyme:
        found.append("level rhyme")
    return found + ["rhymed twice"] * (len(set(ends)) < len(ends))


@st.composite
def constraint_sets(draw: st.DrawFn) -> Constraints:
    form = draw(st.sampled_from(["", *FORMS]))
    num_lines = FORMS[form].num_lines if form else draw(st.integers(1, 6))
    at_end = draw(st.booleans())
    rhyme = draw(st.booleans())
    tones = bool(form) and draw(st.booleans())
    # At the lines' ends the acrostic decides rhyme and tone; that is another test.
    has_acrostic = draw(st.booleans()) and not (at_end and (rhyme or tones))
    characters = st.lists(
        st.sampled_from(ACROSTIC + UNKNOWN), min_size=num_lines, max_size=num_lines
    )
    return Constraints(
        form=form,
        rhyme=rhyme,
        rhyme_group=draw(st.sampled_from(["", "东", "先", "尤"])) if rhyme else "",
        tones=tones,
        acrostic="".join(draw(characters)) if has_acrostic else "",
        acrostic_at="end" if at_end else "start",
    )


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
)
@given(
    constraints=constraint_sets(),
    seed=st.integers(0, 10**6),
    particles=st.sampled_from([1, 3]),
    how=st.sampled_from([Settings(1), Settings(0), Settings(0.7, top_k=5), Settings(1, top_p=0.3)]),
    cut=st.floats(0, 1),
)
@example(Constraints("五绝", rhyme=True, tones=True), 1, 3, Settings(1), 0.5)
@example(Constraints("七律", rhyme=True, tones=True, acrostic=ACROSTIC), 2, 1, Settings(0), 0.9)
def test_every_combination_is_kept_streamed_in_batches_and_after_any_beginning(
    model: PoemLSTM,
    vocab: Vocabulary,
    constraints: Constraints,
    seed: int,
    particles: int,
    how: Settings,
    cut: float,
) -> None:
    how = Settings(how.temperature, how.top_k, how.top_p, particles=particles)
    request = Request(seed, settings=how, constraints=constraints)
    sample = write_one(model, vocab, request)
    assert faults(sample) == []
    assert streamed(model, vocab, request) == sample.poem.text
    # What may be written may be a prompt.
    beginning = sample.poem.text[: int(cut * len(sample.poem.text))]
    from_prompt = Request(seed, 1, Prompt(beginning), settings=how, constraints=constraints)
    assert faults(write_one(model, vocab, from_prompt)) == []


def mixed_requests(num: int) -> list[Request]:
    """Rows of different constraints, prompts, settings and numbers of particles."""
    constraints = [
        Constraints("五绝", rhyme=True, tones=True),
        NO_CONSTRAINTS,
        Constraints("七绝", rhyme=True),
        Constraints(rhyme=True),
        Constraints(acrostic="春夏" + UNKNOWN),
        Constraints("五绝", tones=True, acrostic="春夏秋冬"),
    ]
    prompts = [NO_PROMPT, Prompt("山月"), Prompt(f"山{UNKNOWN}"), NO_PROMPT]
    ways = [Settings(1), Settings(0.8, particles=4), Settings(1, top_p=0.9)]
    return [
        Request(
            7,
            i,
            NO_PROMPT if constraints[i % 6].acrostic else prompts[i % 4],
            settings=ways[i // 6 % 3],
            constraints=constraints[i % 6],
        )
        for i in range(num)
    ]


def test_a_poem_is_the_same_at_any_batch_size_and_in_any_order_under_constraints(
    model: PoemLSTM, vocab: Vocabulary
) -> None:
    requests = mixed_requests(200)
    shuffled = [requests[i * 7 % 200] for i in range(200)]

    def poems(order: list[Request], batch_size: int) -> dict[int, tuple[str, float]]:
        found = {}
        for result in write(model, vocab, order, batch_size=batch_size):
            assert isinstance(result, Sample)
            found[result.request.index] = (result.poem.text, result.likelihood.nats)
        return found

    together = poems(requests, 64)
    assert len({text for text, _ in together.values()}) > 180
    assert poems(shuffled, 64) == together
    assert poems(requests, 7) == together
    assert poems(requests, 1) == together


def test_what_cannot_be_met_does_not_stop_the_rest(model: PoemLSTM, vocab: Vocabulary) -> None:
    regulated = Constraints("五绝", rhyme=True, tones=True)
    requests = [
        Request(1, 0, constraints=regulated),
        Request(1, 1, Prompt("山月，"), constraints=regulated),
        Request(1, 2),
        Request(1, 3, Prompt("春"), constraints=Constraints(acrostic="夏")),
        Request(1, 4, constraints=regulated),
    ]
    results = write(model, vocab, requests)
    assert [isinstance(result, Failed) for result in results] == [False, True, False, True, False]
    assert [result.request for result in results] == requests
    failed = [result.error.why for result in results if isinstance(result, Failed)]
    assert failed == [
        "， after 第2字 月 ends a line of 2; the lines of 五绝 have 5 characters",
        "第1字 春 stands where the acrostic needs 夏",
    ]
    alone = [write(model, vocab, [request])[0] for request in requests]
    assert [r.poem for r in alone if isinstance(r, Sample)] == [
        r.poem for r in results if isinstance(r, Sample)
    ]


def test_a_refused_prompt_is_told_before_the_model_is_asked(
    model: PoemLSTM, vocab: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(1, prompt=Prompt("春"), constraints=Constraints(acrostic="夏"))
    with pytest.raises(ConstraintError):
        check_prompt(request, vocab)
    monkeypatch.setattr(model, "step", None)
    ((setback,),) = generate_steps(model, vocab, [request], max_tokens=9)
    assert isinstance(setback, Setback)
    assert setback.is_final


def test_an_acrostic_at_the_ends_that_rhymes(model: PoemLSTM, vocab: Vocabulary) -> None:
    constraints = Constraints("五绝", True, "", True, "月流目楼", "end")
    requests = [Request(2, i, constraints=constraints) for i in range(6)]
    for result in write(model, vocab, requests):
        assert isinstance(result, Sample)
        assert faults(result) == []


def test_an_unknown_character_of_the_acrostic_stands_in_the_poem_and_costs_as_unknown(
    model: PoemLSTM, vocab: Vocabulary
) -> None:
    sample = write_one(model, vocab, Request(1, constraints=Constraints(acrostic=f"春{UNKNOWN}")))
    assert [line[0] for line in sample.poem.lines] == ["春", UNKNOWN]
    assert sample.likelihood.unknown_tokens == 1
    (choice,) = (choice for choice in sample.choices if choice.token == UNK)
    assert (choice.text, choice.in_prompt) == (UNKNOWN, False)


def test_a_character_of_unknown_tones_stands_only_where_any_may() -> None:
    assert not readings("蝴")
    vocab = Vocabulary((*SPECIALS, *MARKS, *"春山蝴"))
    masks, unknown = masks_of(vocab), vocab.ids["蝴"]
    assert masks.mask(Next(ANY_CHARACTER), level_rhyme=True)[unknown]
    for tones in ("平中", "仄中", "中"):
        assert not masks.mask(Next((Kind(tones),)), level_rhyme=True)[unknown]


def test_a_mask_holds_what_its_description_says(vocab: Vocabulary) -> None:
    def characters(following: Next) -> set[str]:
        mask_V = masks_of(vocab).mask(following, level_rhyme=True)
        return {vocab.symbols[i] for i in mask_V.nonzero()[:, 0].tolist()}

    assert characters(Next(end=True)) == {"<eos>"}
    assert characters(Next(marks=STOPS, end=True)) == {"<eos>", *STOPS}
    assert "<unk>" not in characters(Next(ANY_CHARACTER))
    rhyming = characters(Next((Kind("平中", frozenset("尤")),), but=frozenset("流")))
    assert {"楼", "愁"} < rhyming
    assert not {"流", "山", "有"} & rhyming
    either = characters(Next((Kind("平中", frozenset("尤")), Kind("仄中"))))
    assert {"楼", "月"} < either
    assert characters(Next(ANY_CHARACTER, only="月")) == {"月"}
    assert characters(Next(ANY_CHARACTER, only=UNKNOWN)) == set()


def test_the_rules_of_the_same_constraints_are_made_once(vocab: Vocabulary) -> None:
    assert rules_for(Constraints("五绝"), vocab) is rules_for(Constraints("五绝"), vocab)


def test_particles_are_for_constraints_alone(model: PoemLSTM, vocab: Vocabulary) -> None:
    many, one = (Request(1, settings=Settings(1, particles=k)) for k in (8, 1))
    steps = generate_steps(model, vocab, [many], max_tokens=5)
    assert all(len(column) == 1 for column in islice(steps, 4))
    assert streamed(model, vocab, many) == streamed(model, vocab, one)


def test_of_several_particles_the_poem_comes_all_at_once(
    model: PoemLSTM, vocab: Vocabulary
) -> None:
    request = Request(1, settings=Settings(1, particles=4), constraints=Constraints("五绝"))
    (column,) = generate_steps(model, vocab, [request], max_tokens=5)
    assert len(column) == 25


def test_a_form_is_written_whole_however_few_tokens_are_allowed(
    model: PoemLSTM, vocab: Vocabulary
) -> None:
    request = Request(1, constraints=Constraints("七律"))
    (sample,) = generate(model, vocab, [request], max_tokens=3)
    assert isinstance(sample, Sample)
    assert sample.likelihood.tokens == 65
    assert sample.ended
