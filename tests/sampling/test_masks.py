"""Masks against the characters that they should admit."""

import numpy as np
import pytest

from poetgen.data.corpus import Corpus
from poetgen.data.vocab import Vocabulary
from poetgen.prosody.grammar import ANY_CHARACTER, Allowed, CharacterClass
from poetgen.prosody.marks import MARKS, STOPS
from poetgen.prosody.phonology import readings
from poetgen.sampling.masks import VocabularyMasks
from tests.sampling.models import CONDITIONED_VOCAB, VOCAB, vocabulary


@pytest.fixture(scope="module")
def vocab(starter: Corpus) -> Vocabulary:
    return Vocabulary.build(starter.splits["train"], min_count=1)


def admitted(vocab: Vocabulary, allowed: Allowed) -> set[str]:
    mask_V = VocabularyMasks(vocab).mask(allowed)
    assert mask_V.shape == (len(vocab),)
    assert mask_V.dtype == np.bool_
    return {vocab.symbols[i] for i in np.flatnonzero(mask_V)}


def test_mask_of_any_character_is_text_only() -> None:
    for vocab in (VOCAB, CONDITIONED_VOCAB):
        assert admitted(vocab, Allowed(ANY_CHARACTER)) == set("床前明月光云")


def test_mask_of_marks_and_end() -> None:
    assert admitted(VOCAB, Allowed(end=True)) == {"<eos>"}
    assert admitted(VOCAB, Allowed(marks="，？！")) == set("，？！")
    assert admitted(VOCAB, Allowed(marks=STOPS, end=True)) == {"<eos>", *STOPS}
    assert admitted(VOCAB, Allowed(ANY_CHARACTER, marks="。")) == set("床前明月光云。")


def test_mask_of_a_rhyme_group(vocab: Vocabulary) -> None:
    rhyming = Allowed((CharacterClass("平中", frozenset("尤"), level_only=True),))
    assert {"楼", "愁", "流"} < admitted(vocab, rhyming)
    assert not {"山", "有"} & admitted(vocab, rhyming)
    assert admitted(vocab, rhyming._replace(excluded=frozenset("流"))) == (
        admitted(vocab, rhyming) - {"流"}
    )


def test_mask_counts_oblique_readings_unless_level_only() -> None:
    vocab = vocabulary("重峰月")  # 重 is level in 冬, oblique in 肿 and 宋
    for group, level_only, found in (("冬", True, "重峰"), ("宋", False, "重"), ("宋", True, "")):
        one = CharacterClass("平仄中", frozenset(group), level_only)
        assert admitted(vocab, Allowed((one,))) == set(found)


def test_mask_admits_readings_that_poets_used() -> None:
    masks, level = VocabularyMasks(vocab := vocabulary("望不看山")), CharacterClass("平中")
    for any_reading, found in ((False, "看山"), (True, "望不看山"), (False, "看山")):
        mask_V = masks.mask(Allowed((level._replace(any_reading=any_reading),)))
        assert {vocab.symbols[i] for i in np.flatnonzero(mask_V)} == set(found)
    rhyming = level._replace(groups=frozenset("阳"), level_only=True)
    assert not masks.mask(Allowed((rhyming,))).any()
    assert masks.mask(Allowed((rhyming._replace(any_reading=True),))).sum() == 1


def test_mask_is_the_union_of_its_classes(vocab: Vocabulary) -> None:
    classes = (CharacterClass("平中", frozenset("尤")), CharacterClass("仄中"))
    union = admitted(vocab, Allowed(classes))
    assert {"楼", "月"} < union
    assert union == admitted(vocab, Allowed(classes[:1])) | admitted(vocab, Allowed(classes[1:]))


def test_mask_of_a_required_character() -> None:
    assert admitted(VOCAB, Allowed(ANY_CHARACTER, required="月")) == {"月"}
    assert admitted(VOCAB, Allowed(ANY_CHARACTER, required="鳌")) == set()
    assert admitted(VOCAB, Allowed((CharacterClass("平"),), required="月")) == set()


def test_mask_admits_unknown_tones_only_where_any_fits() -> None:
    assert not readings("吗")
    vocab = vocabulary("春山吗")
    assert "吗" in admitted(vocab, Allowed(ANY_CHARACTER))
    for tones in ("平中", "仄中", "中"):
        assert "吗" not in admitted(vocab, Allowed((CharacterClass(tones),)))


def test_mask_is_not_changed_by_later_masks() -> None:
    masks = VocabularyMasks(VOCAB)
    first_V = masks.mask(Allowed(ANY_CHARACTER)).copy()
    masks.mask(Allowed(ANY_CHARACTER, required="月", marks="。", end=True))
    masks.mask(Allowed(ANY_CHARACTER, excluded=frozenset("月")))
    assert np.array_equal(masks.mask(Allowed(ANY_CHARACTER)), first_V)


def test_text_and_first_are_what_may_be_sampled() -> None:
    for vocab in (VOCAB, CONDITIONED_VOCAB):
        masks = VocabularyMasks(vocab)
        text = {vocab.symbols[i] for i in np.flatnonzero(masks.text)}
        assert text == {"<eos>", *MARKS, *"床前明月光云"}
        assert {vocab.symbols[i] for i in np.flatnonzero(masks.first)} == text - {"<eos>"}
