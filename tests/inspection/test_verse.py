"""A verse read, and written on with gates held."""

import pytest

from poetgen.api import PoetModel
from poetgen.data.vocab import BOS, EOS
from poetgen.inspection.gates import GATES, walk
from poetgen.inspection.verse import (
    END,
    START,
    Inquiry,
    hold_each_gate,
    inspect_text,
    num_held,
    opening_line,
    read_verse,
    writing,
)
from poetgen.model.store import StoredModel
from poetgen.sampling.prompt import prepare_prompt
from poetgen.sampling.request import Settings

TEXT = "床前明月光，疑是地上霜。"


def inquiry(stored: StoredModel, text: str = TEXT, temperature: float = 0.8) -> Inquiry:
    return Inquiry(prepare_prompt(text, stored.vocab), 1, Settings(temperature))


def test_the_surprise_is_what_score_says(tiny_model: StoredModel) -> None:
    text = TEXT + "龘"  # the last is unknown, and charged for as such
    verse = read_verse(tiny_model.model, tiny_model.vocab, text)
    assert "".join(verse.characters) == START + text
    assert verse.text == text
    assert (verse.nats[0], len(verse.nats), len(verse.following)) == (None, 14, 14)
    scored = PoetModel(tiny_model).score(text)
    tokens = [BOS, *tiny_model.vocab.encode(text)]
    end = -float(list(walk(tiny_model.model, tokens))[-1].log_probs_V[EOS])
    assert verse.unknown == {"龘"}
    assert sum(nats or 0 for nats in verse.nats) + end == pytest.approx(scored.nats, abs=1e-3)
    assert verse.nats_per_character == pytest.approx((scored.nats - end) / len(text), abs=1e-4)


def test_five_next_characters_are_named(tiny_model: StoredModel) -> None:
    verse = read_verse(tiny_model.model, tiny_model.vocab, TEXT)
    for best in verse.following:
        assert len(best) == 5
        assert all(len(symbol) == 1 for symbol, _ in best), best
        probabilities = [probability for _, probability in best]
        assert probabilities == sorted(probabilities, reverse=True)
    place = list(walk(tiny_model.model, [BOS, *tiny_model.vocab.encode(TEXT[:1])]))[-1]
    for symbol, probability in verse.following[1]:
        if symbol in tiny_model.vocab.ids:
            expected = float(place.log_probs_V[tiny_model.vocab.ids[symbol]].exp())
            assert probability == pytest.approx(expected)
    assert END not in tiny_model.vocab.ids


def test_what_it_writes_is_what_sample_writes(tiny_model: StoredModel) -> None:
    verse, asked = inspect_text(tiny_model, inquiry(tiny_model, "床前"), go_on=True)
    poem = PoetModel(tiny_model).sample("床前", seed=1)[0]
    assert verse.poem == poem
    assert asked.opening.text == "床前"
    assert poem.text.startswith("床前" + writing(tiny_model, asked).text)


def test_a_whole_verse_is_asked_for_what_follows_its_first_line(tiny_model: StoredModel) -> None:
    verse, asked = inspect_text(tiny_model, inquiry(tiny_model), go_on=False)
    assert verse.text == TEXT
    assert asked.opening.text == "床前明月光，"


@pytest.mark.parametrize(
    ("text", "opening"), [("床前", "床前"), ("床？前，", "床？"), (TEXT, "床前明月光，")]
)
def test_opening_line(text: str, opening: str) -> None:
    assert opening_line(text) == opening


def test_each_gate_of_each_layer_is_held_shut_and_open(tiny_model: StoredModel) -> None:
    runs = list(hold_each_gate(tiny_model, TEXT, inquiry(tiny_model, "床前", 0.0)))
    told = [(one.layer, one.gate, one.is_open) for one in runs]
    assert told == [(la, g, o) for la in (0, 1) for g in GATES for o in (False, True)]
    assert len(runs) == num_held(tiny_model) == 12
    for one in runs:
        assert one.verse.text == TEXT
        held = one.verse.recording.layers[one.layer][one.gate]
        assert set(held.flatten().tolist()) == {float(one.is_open)}
        assert one.writing.ended or len(one.writing.text) == 64
    assert len({one.writing.text for one in runs}) > 1
    assert len({one.verse.nats_per_character for one in runs}) > 6
