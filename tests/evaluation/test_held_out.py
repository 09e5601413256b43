"""Which poems models are measured on, and which are left out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poetgen.config import Config
from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import Corpus
from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.evaluation.held_out import EvaluationSet, beside, file_set, split_set
from poetgen.evaluation.report import Plan, evaluate_models
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel
from tests.evaluation.verses import verses

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"山云"))
NETWORK = PoemLSTM(len(VOCAB), embedding_size=4, hidden_size=4, num_layers=1)
MODEL = StoredModel(NETWORK, VOCAB, Config(), "feed", {}, path=Path("a.safetensors"))
POEMS = [Poem("山云。"), Poem("山鹤云山。云。")]


def a_set(poems: list[Poem] = POEMS, **rest: Any) -> EvaluationSet:
    return EvaluationSet(poems, "here", None, None, **rest)


def test_a_split_is_taken_with_the_fingerprint_of_the_whole_corpus() -> None:
    held_out = [Poem("云山。")]
    corpus = Corpus({"train": POEMS, "valid": [Poem("山。")], "test": held_out}, CleaningReport())
    on = split_set(corpus, "there", "test")
    assert on == EvaluationSet(
        held_out, "there", "test", corpus.fingerprint, more=[Poem("山。")], train=POEMS
    )
    assert split_set(corpus, "there", "valid").more == held_out


def test_an_empty_split_is_an_error() -> None:
    corpus = Corpus({"train": POEMS, "valid": [], "test": []}, CleaningReport())
    with pytest.raises(CorpusError, match="no poem to evaluate on in there") as caught:
        split_set(corpus, "there", "valid")
    assert caught.value.fix


def test_poems_near_the_training_text_of_another_corpus_are_left_out_and_counted() -> None:
    mine, strange = verses("五绝", 3, 1), verses("五绝", 4, 2)
    stored = replace(MODEL, lines=(LineSet.of(mine),))
    on = replace(a_set([mine[0], *strange, mine[1]], more=[mine[2]]), corpus="c0ffee")
    found = beside(on, [stored])
    assert (found.poems, found.more, found.left_out) == (strange, [], 2)
    (remark,) = found.remarks
    assert "a.safetensors was trained on another corpus (feed, not c0ffee): 2 poems" in remark
    assert evaluate_models([stored], found, Plan(samples=0))["settings"]["left_out"] == 2


def test_poems_of_a_models_own_corpus_are_all_kept() -> None:
    poems = verses("五绝", 3, 1)
    stored = replace(MODEL, lines=(LineSet.of([Poem(poems[0].lines[0] + "。")]),))
    on = replace(a_set(poems), corpus="feed")
    assert beside(on, [stored]) == on


def test_poems_that_the_first_model_of_a_tuned_one_knew_are_told() -> None:
    poems = verses("五绝", 3, 1)
    stored = replace(MODEL, lines=(LineSet.of(poems[:2]), LineSet.of([])))
    on = replace(a_set(poems), corpus="feed")
    found = beside(on, [stored])
    assert (found.poems, found.left_out) == (on.poems, 0)
    (remark,) = found.remarks
    assert remark.startswith(
        "2 of these poems stand in what a.safetensors, or the model it was begun"
    )


def test_a_model_without_a_record_of_its_lines_is_warned_about() -> None:
    on = replace(a_set(), corpus="c0ffee")
    found = beside(on, [MODEL])
    assert found.poems == on.poems
    assert "has no record of" in found.remarks[0]


def test_chosen_poems_that_a_model_was_trained_on_are_kept_and_counted() -> None:
    poems = verses("五绝", 3, 1)
    stored = replace(MODEL, lines=(LineSet.of(poems[:2]),))
    found = beside(a_set(poems), [stored])
    assert (found.poems, found.left_out) == (poems, 0)
    assert found.remarks[0].startswith("2 of these poems share a line")


def test_poems_that_a_model_was_trained_on_to_the_last_are_an_error() -> None:
    poems = verses("五绝", 3, 1)
    stored = replace(MODEL, lines=(LineSet.of(poems),))
    with pytest.raises(CorpusError, match=r"^all 3 poems of here share a line"):
        beside(replace(a_set(poems), corpus="c0ffee"), [stored])


def test_poems_of_a_file_are_cleaned_and_what_was_left_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text(
        "山雲歸去晚，（一作「早」）溪月照人來。\n"
        "山云归去晚，溪月照人来？\n"  # the same characters
        "山云。\n"
        "□月入窗來，無人知客心。\n",
        encoding="utf-8",
    )
    on, cleaning = file_set(path)
    assert on == EvaluationSet([Poem("山云归去晚，溪月照人来。")], str(path), None, None)
    assert cleaning.dropped == {"duplicate": 1, "stub": 1, "lacuna": 1}


def test_json_lines_of_sample_can_be_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    record = {"index": 0, "poem": "山云归去晚，溪月照人来。", "lines": ["山云归去晚", "溪月照人来"]}
    path.write_text(json.dumps(record) + "\n" + '{"poem": 5}\n', encoding="utf-8")
    on, cleaning = file_set(path)
    assert [poem.text for poem in on.poems] == ["山云归去晚，溪月照人来。"]
    assert cleaning.dropped == {"broken_record": 1}


@pytest.mark.parametrize("content", ["", "山云。\n"])
def test_a_file_without_a_poem_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "poems.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match="no poem to evaluate on") as caught:
        file_set(path)
    assert str(path) in caught.value.why


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no corpus at"):
        file_set(tmp_path / "absent.txt")
