"""Reports on a model whose probabilities are set by hand, and on poems from elsewhere."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config
from poetgen.data.conditions import Conditions
from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem, fingerprint
from poetgen.data.vocab import Vocabulary
from poetgen.evaluation import report as report_module
from poetgen.evaluation.held_out import EvaluationSet, no_set
from poetgen.evaluation.measures import ALL, MEASURES
from poetgen.evaluation.ngram import baseline
from poetgen.evaluation.report import Plan, evaluate_models, weights_fingerprint
from poetgen.evaluation.sampled import Sampled
from poetgen.model.likelihood import score, total
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, new_model
from poetgen.prosody.forms import FORMS, OTHER
from tests.evaluation.verses import verses

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"山云"))
PROBABILITIES = {"<eos>": 1 / 8, "<unk>": 1 / 8, "。": 1 / 4, "山": 1 / 4, "云": 1 / 4}
POEMS = [Poem("山云。"), Poem("山鹤云山。云。")]
LIKELIHOOD_ALONE = Plan(samples=0)
DESIGN = Path(__file__).parent.parent.parent / "docs" / "design.md"


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


def lot(poems: dict[str, list[Poem]]) -> Sampled:
    """Poems as if they had come from a file."""
    counts = {form: len(own) for form, own in poems.items()}
    return Sampled(poems, told_form=False, num_written=sum(counts.values()), forms=counts)


def a_set(poems: list[Poem] = POEMS, **rest: Any) -> EvaluationSet:
    return EvaluationSet(poems, "here", None, None, **rest)


def test_totals_are_sums_of_nats_divided_once() -> None:
    report = evaluate_models([stored_model(PROBABILITIES)], a_set(), LIKELIHOOD_ALONE)
    (run,) = report["runs"]
    # 山 云 。 <eos> and 山 <unk> 云 山 。 云 。 <eos>; two Han characters are known.
    nats = 9 * math.log(4) + 3 * math.log(8) + math.log(20992 - 2)
    expected = {
        "poems": 2,
        "tokens": 12,
        "unknown_tokens": 1,
        "nats_per_token": pytest.approx(nats / 12, abs=2e-6),
        "perplexity": pytest.approx(math.exp(nats / 12), abs=1e-3),
        "bits_per_hanzi": pytest.approx(nats / math.log(2) / 7, abs=2e-5),
    }
    assert run["likelihood"] == expected | {"forms": {OTHER: expected}, "given": {}}
    assert (run["model"], run["trained_on"]) == ("a.safetensors", "feed")


def test_the_settings_head_the_report() -> None:
    on = replace(a_set(), split="test", corpus="c0ffee")
    report = evaluate_models([stored_model(PROBABILITIES)], on, LIKELIHOOD_ALONE)
    assert report["settings"] == {
        "source": "here",
        "split": "test",
        "corpus": "c0ffee",
        "poems": 2,
        "poems_fingerprint": fingerprint(POEMS),
        "left_out": 0,
        "remarks": [],
        "precision": "fp32",
    }
    assert json.loads(json.dumps(report)) == report


def test_the_order_of_the_poems_changes_nothing() -> None:
    model = stored_model(PROBABILITIES)
    there, back = (
        evaluate_models([model], a_set(poems), LIKELIHOOD_ALONE) for poems in (POEMS, POEMS[::-1])
    )
    assert there == back


def test_each_model_has_a_run_in_the_order_given() -> None:
    even = stored_model(PROBABILITIES)
    sure = stored_model({"山": 0.9, "云": 0.02, "。": 0.04, "<eos>": 0.04}, "b.safetensors")
    runs = evaluate_models([even, sure], a_set([Poem("山山山山。")]), LIKELIHOOD_ALONE)["runs"]
    assert [run["model"] for run in runs] == ["a.safetensors", "b.safetensors"]
    assert runs[0]["fingerprint"] != runs[1]["fingerprint"]
    expected = [
        4 * math.log(4) + math.log(4) + math.log(8),
        -4 * math.log(0.9) - 2 * math.log(0.04),
    ]
    found = [run["likelihood"]["nats_per_token"] * 6 for run in runs]
    assert found == pytest.approx(expected, abs=1e-4)


def test_likelihood_by_form_is_that_of_the_poems_of_the_form() -> None:
    quatrains, longer = verses("五绝", 3, 1), verses("七绝", 2, 1)
    model = stored_model(PROBABILITIES)
    on = a_set([*longer, *quatrains, *POEMS])
    likelihood = evaluate_models([model], on, LIKELIHOOD_ALONE)["runs"][0]["likelihood"]
    assert list(likelihood["forms"]) == ["五绝", "七绝", OTHER]
    for form, poems in (("五绝", quatrains), ("七绝", longer), (OTHER, POEMS)):
        alone = evaluate_models([model], a_set(poems), LIKELIHOOD_ALONE)["runs"][0]["likelihood"]
        assert likelihood["forms"][form] == alone["forms"][form]
    assert sum(one["tokens"] for one in likelihood["forms"].values()) == likelihood["tokens"]


@pytest.fixture
def told(tiny_config: Config) -> StoredModel:
    """A model that can be told forms and titles."""
    text = sorted({c for form in FORMS for poem in verses(form, 20, 1) for c in poem.characters})
    forms = [f"<form:{form}>" for form in FORMS]
    vocab = Vocabulary((*VOCAB.symbols[:8], *text, *forms, "<title>"))
    torch.manual_seed(1)
    model = new_model(tiny_config, vocab).eval().requires_grad_(False)
    return StoredModel(model, vocab, tiny_config, "feed", path=Path("told.safetensors"))


def test_likelihood_with_conditions_given_where_the_model_has_them(told: StoredModel) -> None:
    poems = [replace(poem, title="山月", author="竹客") for poem in verses("五绝", 4, 1)]
    likelihood = evaluate_models([told], a_set(poems), LIKELIHOOD_ALONE)["runs"][0]["likelihood"]
    assert list(likelihood["given"]) == ["nothing", "form", "title", ALL]  # it knows no author
    assert likelihood["given"]["nothing"].items() <= likelihood.items()
    assert len({one["nats_per_token"] for one in likelihood["given"].values()}) == 4
    assert {one["tokens"] for one in likelihood["given"].values()} == {likelihood["tokens"]}


def test_conditions_are_given_to_some_poems_the_same_whatever_their_order(
    told: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "NUM_TOLD", 3)
    poems = verses("五绝", 8, 1)
    there, back = (
        evaluate_models([told], a_set(order), LIKELIHOOD_ALONE)["runs"][0]["likelihood"]["given"]
        for order in (poems, poems[::-1])
    )
    assert there["nothing"]["poems"] == there["form"]["poems"] == 3
    assert there["form"]["nats_per_token"] == pytest.approx(
        back["form"]["nats_per_token"], abs=1e-5
    )


def test_the_baseline_is_trained_on_the_training_split() -> None:
    train, poems = verses("五绝", 30, 1), verses("五绝", 3, 2)
    on = a_set(poems, train=train)
    report = evaluate_models([stored_model(PROBABILITIES)], on, Plan(samples=0, baseline=True))
    found = report["runs"][0]["likelihood"]["baseline"]
    expected = baseline(train, poems, VOCAB)
    assert {int(n): one["nats_per_token"] for n, one in found.items()} == {
        n: pytest.approx(one.nats_per_token, abs=1e-6) for n, one in expected.items()
    }


def test_without_training_text_there_is_no_baseline() -> None:
    report = evaluate_models([stored_model(PROBABILITIES)], a_set(), Plan(samples=0, baseline=True))
    assert "baseline" not in report["runs"][0]["likelihood"]


def test_the_fingerprint_names_the_weights() -> None:
    one, same, other = (stored_model(PROBABILITIES | {"山": p}).model for p in (0.25, 0.25, 0.2501))
    assert weights_fingerprint(one) == weights_fingerprint(same) != weights_fingerprint(other)
    assert re.fullmatch("[0-9a-f]{16}", weights_fingerprint(one))


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The keys of a report as docs/design.md spells them."""
    name = path.rpartition(".")[2]
    if (name == "human" and path != "human") or not isinstance(value, (dict, list)):
        yield path
    elif isinstance(value, list):
        for one in value:
            yield from paths(one, f"{path}[]") if isinstance(one, dict) else [path]
    else:
        if "nats_per_token" in value or {"marked", "value"} <= value.keys():
            yield path
        variable = {
            **dict.fromkeys(("samples", "poems", "forms", "figures"), "<form>"),
            "missing": "<measure>",
            "given": "<kind>",
            "baseline": "<order>",
        }.get(name)
        variable = "<measure>" if re.search(r"figures\.<form>$", path) else variable
        for key, one in value.items():
            yield from paths(one, f"{path}.{variable or key}" if path else key)


def documented() -> tuple[set[str], str]:
    """The paths in the table of keys, and the text around it."""
    section = DESIGN.read_text(encoding="utf-8").split("## JSON of `eval`")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall("`([^`]+)`", row)}, section


def test_every_key_of_the_report_is_documented_and_no_other(told: StoredModel) -> None:
    held_out, train = (
        [poem for form in ("五绝", "七绝") for poem in verses(form, 12, seed)] for seed in (1, 2)
    )
    on = a_set([*held_out, *POEMS], train=train)
    plan = Plan(samples=3, constrained=True, baseline=True)
    untold = stored_model(PROBABILITIES)
    small = replace(untold, config=told.config)
    report = evaluate_models(
        [told, small], on, plan, written=[("f", lot({"五绝": verses("五绝", 4, 3)}))]
    )
    alone = evaluate_models([untold], no_set("no corpus"), Plan(samples=1))
    known, text = documented()
    found = {
        path.replace(".constrained.", ".free.")
        for one in (report, alone)
        for path in paths(json.loads(json.dumps(one)))
    }
    leaves = {"poems", "tokens", "unknown_tokens", "nats_per_token", "perplexity", "bits_per_hanzi"}
    leaves |= {"value", "low", "high", "human", "distance", "marked"}
    inner = re.compile(
        r"(likelihood|forms\.<form>|given\.<kind>|baseline\.<order>|<measure>)\.(\w+)$"
    )
    found = {path for path in found if not ((m := inner.search(path)) and m.group(2) in leaves)}
    assert found == known
    assert all(f"`{name}`" in text for name in (*leaves, *MEASURES))


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Verses and shuffled nonsense beside held-out verses."""
    held_out = [poem for form in ("五绝", "七绝") for poem in verses(form, 60, 1)]
    train = [poem for form in ("五绝", "七绝") for poem in verses(form, 100, 2)]
    alike = {form: verses(form, 30, 3) for form in ("五绝", "七绝")}
    one = {"五绝": verses("五绝", 1, 4) * 30}
    return evaluate_models(
        [],
        a_set(held_out, train=train),
        Plan(samples=20),
        written=[("alike.txt", lot(alike)), ("one.txt", lot(one))],
    )


def test_poems_from_elsewhere_are_measured_as_if_a_model_had_written_them(
    report: dict[str, Any],
) -> None:
    alike, one = report["runs"]
    assert (alike["model"], alike["temperature"], alike["likelihood"]) == ("alike.txt", None, None)
    assert alike["free"]["lines"] == 3 * (len(MEASURES) - 1) - 4  # without in_form
    assert alike["free"]["marked"] <= 2
    figure = one["free"]["figures"]["五绝"]["self_bleu_2"]
    assert (figure["value"], figure["marked"]) == (1, True)
    assert figure["distance"] == pytest.approx(1 - figure["human"]["value"], abs=1e-5)
    assert one["free"]["marked"] >= 4
    assert set(one["free"]["figures"]) == {"五绝"}


def test_the_report_says_how_many_lines_chance_marks(report: dict[str, Any]) -> None:
    human = report["human"]
    assert human["poems"] == {"五绝": 20, "七绝": 20, "五律": 0, "七律": 0}
    assert human["second_sample"]["poems"] == human["poems"]
    assert human["second_sample"]["lines"] == report["runs"][0]["free"]["lines"] + 3
    assert human["second_sample"]["marked"] <= 2


def test_examples_are_the_first_poems_of_each_form(report: dict[str, Any]) -> None:
    examples = report["runs"][0]["free"]["examples"]
    expected = [(form, poem.text) for form in ("五绝", "七绝") for poem in verses(form, 10, 3)]
    assert [(one["form"], one["poem"]) for one in examples] == expected


def test_a_run_for_each_model_and_temperature(told: StoredModel) -> None:
    plan = Plan(samples=2, temperatures=(0.5, 1.5))
    on = a_set(verses("五绝", 6, 1), train=verses("五绝", 6, 2))
    runs = evaluate_models([told, told], on, plan)["runs"]
    assert [run["temperature"] for run in runs] == [0.5, 1.5, 0.5, 1.5]
    assert runs[0] == runs[2] != runs[1]
    assert runs[0]["free"]["poems"] == {"五绝": 2, "七绝": 2, "五律": 2, "七律": 2}
    assert runs[0]["likelihood"] == runs[1]["likelihood"]


def test_progress_is_told_and_ends_at_its_total(told: StoredModel) -> None:
    stages: list[list[Any]] = []

    class Recorder:
        def stage(self, name: str, total: int) -> None:
            stages.append([name, total, 0])

        def advance(self, num: int) -> None:
            stages[-1][2] += num

    on = a_set(verses("五绝", 6, 1), train=verses("五绝", 6, 2))
    evaluate_models([told], on, Plan(samples=2, baseline=True), progress=Recorder())
    assert len(stages) == 4
    assert all(total == done for _, total, done in stages)


def test_without_a_corpus_poems_are_measured_alone(told: StoredModel) -> None:
    lines = LineSet.of(verses("五绝", 5, 1))
    stored = replace(told, lines=(lines,))
    report = evaluate_models([stored], no_set("no corpus here"), Plan(samples=2))
    assert (report["human"], report["settings"]["poems"]) == (None, 0)
    assert report["settings"]["remarks"] == ["no corpus here"]
    (run,) = report["runs"]
    assert run["likelihood"] is None
    assert run["missing"].keys() == {
        *("copied_5", "copied_7", "seen_2", "seen_3", "seen_4", "js_characters", "js_bigrams")
    }
    figures = run["free"]["figures"]["五绝"]
    assert "verbatim_lines" in figures
    assert all(one["human"] is None and not one["marked"] for one in figures.values())


def test_conditions_given_are_those_of_each_poem(told: StoredModel) -> None:
    poems = [
        replace(poem, title=title) for poem, title in zip(verses("五绝", 2, 1), "山云", strict=True)
    ]
    likelihood = evaluate_models([told], a_set(poems), LIKELIHOOD_ALONE)["runs"][0]["likelihood"]
    given = [Conditions(title=poem.title) for poem in poems]
    expected = total(score(told.model, poems, told.vocab, given=given)).nats_per_token
    assert likelihood["given"]["title"]["nats_per_token"] == pytest.approx(expected, abs=1e-6)
