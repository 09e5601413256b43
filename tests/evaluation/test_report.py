"""Reports on a model whose probabilities are set by hand."""

import json
import math
from pathlib import Path

import pytest
import torch

from poetgen.config import Config
from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem, fingerprint
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.evaluation.report import EvaluationSet, evaluate_models, file_set, split_set
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"山云"))
PROBABILITIES = {"<eos>": 1 / 8, "<unk>": 1 / 8, "。": 1 / 4, "山": 1 / 4, "云": 1 / 4}
POEMS = [Poem("山云。"), Poem("山鹤云山。云。")]


def stored_model(probabilities: dict[str, float], name: str = "a.safetensors") -> StoredModel:
    """A model with the same probabilities at every step."""
    model = PoemLSTM(len(VOCAB), embedding_size=4, hidden_size=4, num_layers=1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.output_bias.fill_(-60)
        for symbol, probability in probabilities.items():
            model.output_bias[VOCAB.ids[symbol]] = math.log(probability)
    model.eval().requires_grad_(False)
    return StoredModel(model, VOCAB, Config(), "feed", {}, path=Path(name))


def test_totals_are_sums_of_nats_divided_once() -> None:
    report = evaluate_models(
        [stored_model(PROBABILITIES)], EvaluationSet(POEMS, "here", None, None)
    )
    (run,) = report["runs"]
    # 山 云 。 <eos> and 山 <unk> 云 山 。 云 。 <eos>; two Han characters are known.
    nats = 9 * math.log(4) + 3 * math.log(8) + math.log(20992 - 2)
    assert run["likelihood"] == {
        "poems": 2,
        "tokens": 12,
        "unknown_tokens": 1,
        "nats_per_token": pytest.approx(nats / 12, abs=2e-6),
        "perplexity": pytest.approx(math.exp(nats / 12), abs=1e-3),
        "bits_per_hanzi": pytest.approx(nats / math.log(2) / 7, abs=2e-5),
    }
    assert (run["model"], run["trained_on"]) == ("a.safetensors", "feed")


def test_the_settings_head_the_report() -> None:
    on = EvaluationSet(POEMS, "here", "test", "c0ffee")
    report = evaluate_models([stored_model(PROBABILITIES)], on)
    assert report["settings"] == {
        "source": "here",
        "split": "test",
        "corpus": "c0ffee",
        "poems": 2,
        "poems_fingerprint": fingerprint(POEMS),
        "precision": "fp32",
    }
    assert json.loads(json.dumps(report)) == report


def test_the_order_of_the_poems_changes_nothing() -> None:
    model = stored_model(PROBABILITIES)
    there, back = (
        evaluate_models([model], EvaluationSet(poems, "here", None, None))
        for poems in (POEMS, POEMS[::-1])
    )
    assert there == back


def test_each_model_has_a_run_in_the_order_given() -> None:
    even = stored_model(PROBABILITIES)
    sure = stored_model({"山": 0.9, "云": 0.02, "。": 0.04, "<eos>": 0.04}, "b.safetensors")
    on = EvaluationSet([Poem("山山山山。")], "here", None, None)
    runs = evaluate_models([even, sure], on)["runs"]
    assert [run["model"] for run in runs] == ["a.safetensors", "b.safetensors"]
    expected = [
        4 * math.log(4) + math.log(4) + math.log(8),
        -4 * math.log(0.9) - 2 * math.log(0.04),
    ]
    found = [run["likelihood"]["nats_per_token"] * 6 for run in runs]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_split_is_taken_with_the_fingerprint_of_the_whole_corpus() -> None:
    corpus = Corpus({"train": POEMS, "valid": [], "test": [Poem("云山。")]}, CleaningReport())
    on = split_set(corpus, "there", "test")
    assert on == EvaluationSet([Poem("云山。")], "there", "test", corpus.fingerprint)


def test_an_empty_split_is_an_error() -> None:
    corpus = Corpus({"train": POEMS, "valid": [], "test": []}, CleaningReport())
    with pytest.raises(CorpusError, match="no poem to evaluate on in there") as caught:
        split_set(corpus, "there", "valid")
    assert caught.value.fix


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
