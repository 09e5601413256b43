"""Which poems models are evaluated on, and which are excluded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poetgen.config import build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import STARTER_FILE, Corpus
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.evaluation.dataset import (
    EvaluationSet,
    exclude_training_overlap,
    run_corpus_paths,
)
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, network_arrays
from tests.evaluation.verses import verses

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"山云"))
CONFIG = build_config({"model": {"embedding_size": 4, "hidden_size": 4, "num_layers": 1}})
WEIGHTS = network_arrays(PoemRNN(len(VOCAB), CONFIG.model))
MODEL = ModelBundle(WEIGHTS, VOCAB, CONFIG, "feed", {}, path=Path("a.safetensors"))
POEMS = [Poem("山云。"), Poem("山鹤云山。云。")]


def a_set(poems: list[Poem] = POEMS, **rest: Any) -> EvaluationSet:
    return EvaluationSet(poems, "here", **rest)


def test_from_split_has_the_corpus_fingerprint() -> None:
    held_out = [Poem("云山。")]
    corpus = Corpus({"train": POEMS, "valid": [Poem("山。")], "test": held_out}, CleaningReport())
    eval_set = EvaluationSet.from_split(corpus, "there", "test")
    assert eval_set == EvaluationSet(
        held_out, "there", "test", corpus.fingerprint, [Poem("山。")], POEMS
    )
    assert EvaluationSet.from_split(corpus, "there", "valid").other_held_out == held_out


def test_from_split_rejects_an_empty_split() -> None:
    corpus = Corpus({"train": POEMS, "valid": [], "test": []}, CleaningReport())
    with pytest.raises(CorpusError, match="no poem to evaluate on in there") as caught:
        EvaluationSet.from_split(corpus, "there", "valid")
    assert caught.value.fix


def test_exclude_overlap_of_another_corpus() -> None:
    mine, strange = verses("五绝", 3, 1), verses("五绝", 4, 2)
    bundle = replace(MODEL, training_lines=(LineBloomFilter.from_poems(mine),))
    eval_set = a_set(
        [mine[0], *strange, mine[1]], other_held_out=[mine[2]], corpus_fingerprint="c0ffee"
    )
    found = exclude_training_overlap(eval_set, [bundle])
    assert (found.poems, found.other_held_out, found.num_excluded) == (strange, [], 2)
    (warning,) = found.warnings
    assert "a.safetensors was trained on another corpus (feed, not c0ffee): 2 poems" in warning


def test_exclude_keeps_poems_of_the_own_corpus() -> None:
    poems = verses("五绝", 3, 1)
    bundle = replace(
        MODEL, training_lines=(LineBloomFilter.from_poems([Poem(poems[0].lines[0] + "。")]),)
    )
    eval_set = a_set(poems, corpus_fingerprint="feed")
    assert exclude_training_overlap(eval_set, [bundle]) == eval_set


def test_exclude_warns_of_a_tuned_models_overlap() -> None:
    poems = verses("五绝", 3, 1)
    bundle = replace(
        MODEL,
        training_lines=(LineBloomFilter.from_poems(poems[:2]), LineBloomFilter.from_poems([])),
    )
    eval_set = a_set(poems, corpus_fingerprint="feed")
    found = exclude_training_overlap(eval_set, [bundle])
    assert (found.poems, found.num_excluded) == (poems, 0)
    (warning,) = found.warnings
    assert warning.startswith("2 of these poems are in the training text of a.safetensors, or of")


def test_exclude_warns_without_recorded_lines() -> None:
    eval_set = a_set(corpus_fingerprint="c0ffee")
    found = exclude_training_overlap(eval_set, [MODEL])
    assert found.poems == eval_set.poems
    assert "which is not recorded" in found.warnings[0]


def test_exclude_keeps_and_counts_poems_of_a_file() -> None:
    poems = verses("五绝", 3, 1)
    bundle = replace(MODEL, training_lines=(LineBloomFilter.from_poems(poems[:2]),))
    found = exclude_training_overlap(a_set(poems), [bundle])
    assert (found.poems, found.num_excluded) == (poems, 0)
    assert found.warnings[0].startswith("2 of these poems share a line")


def test_exclude_fails_if_no_poem_is_left() -> None:
    poems = verses("五绝", 3, 1)
    bundle = replace(MODEL, training_lines=(LineBloomFilter.from_poems(poems),))
    with pytest.raises(CorpusError, match=r"^all 3 poems of here share a line"):
        exclude_training_overlap(a_set(poems, corpus_fingerprint="c0ffee"), [bundle])


def test_from_file_cleans_and_logs_dropped_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.txt"
    path.write_text(
        "山雲歸去晚，（一作「早」）溪月照人來。\n"
        "山云归去晚，溪月照人来？\n"  # the same characters
        "山云。\n"
        "□月入窗來，無人知客心。\n",
        encoding="utf-8",
    )
    assert EvaluationSet.from_file(path) == EvaluationSet(
        [Poem("山云归去晚，溪月照人来。")], str(path)
    )
    assert sorted(caplog.messages) == [
        f"1 record of {path} is not scored: {reason}" for reason in ("duplicate", "lacuna", "stub")
    ]


def test_from_file_reads_jsonl_of_sample(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "poems.jsonl"
    record = {"index": 0, "poem": "山云归去晚，溪月照人来。", "lines": ["山云归去晚", "溪月照人来"]}
    path.write_text(json.dumps(record) + "\n" + '{"poem": 5}\n', encoding="utf-8")
    eval_set = EvaluationSet.from_file(path)
    assert [poem.text for poem in eval_set.poems] == ["山云归去晚，溪月照人来。"]
    assert f"1 record of {path} is not scored: broken record" in caplog.messages


@pytest.mark.parametrize("content", ["", "山云。\n"])
def test_from_file_rejects_a_file_without_poems(tmp_path: Path, content: str) -> None:
    path = tmp_path / "poems.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match="no poem to evaluate on") as caught:
        EvaluationSet.from_file(path)
    assert str(path) in caught.value.why


def test_from_file_rejects_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no corpus at"):
        EvaluationSet.from_file(tmp_path / "absent.txt")


def test_run_corpus_paths_of_a_run_folder(tmp_path: Path) -> None:
    model = tmp_path / "best.safetensors"
    assert run_corpus_paths(model) == []
    for corpus, expected in (("starter", [STARTER_FILE]), ("gone/tang", [])):
        (tmp_path / "config.yaml").write_text(f"data:\n  corpus: [{corpus}]\n", encoding="utf-8")
        assert run_corpus_paths(model) == expected


def test_run_corpus_paths_of_an_older_run(tmp_path: Path) -> None:
    (tmp_path / "poems.txt").write_text("山云。\n", encoding="utf-8")
    old = (
        f"data:\n  corpus: ['{tmp_path}/poems.txt']\n  extra: []\ntrain:\n  early_stop_epochs: 2\n"
    )
    (tmp_path / "config.yaml").write_text(old, encoding="utf-8")
    assert run_corpus_paths(tmp_path / "best.safetensors") == [tmp_path / "poems.txt"]
