"""The index of n-grams."""

from poetgen.evaluation.ngram_index import NGramIndex, join_sequences


def test_ngram_index_stops_at_sequence_ends() -> None:
    index = NGramIndex([[1, 2], [3, 1, 2]], order=3, num_symbols=4)
    assert index[2].counts.tolist() == [2, 1]  # 1 2 and 3 1, not 2 3
    assert len(index[3].keys) == 1
    ids = list(index.ngram_ids(join_sequences([[3, 1, 2, 3], [2]])))
    assert [(n >= 0).tolist() for n in ids] == [
        [True, True, True, True, False, True, False],
        [True, True, False, False, False, False, False],
        [True, False, False, False, False, False, False],
    ]


def test_ngram_index_without_text_finds_nothing() -> None:
    index = NGramIndex([], order=3, num_symbols=4)
    assert [n.tolist() for n in index.ngram_ids(join_sequences([[1, 2]]))][1:] == [[-1] * 3] * 2
