"""Three judges of different kinds that learn to tell two sources of poems apart.

1. `FeatureJudge`: logistic regression on `features`.
2. `PhraseJudge`: logistic regression on hashed characters, pairs and facing characters.
3. `SequenceJudge`: a small bidirectional LSTM.

Each chooses its regularization, or its number of epochs, by its accuracy on selection poems.  Judges
share no weights and no fitted features with a model that generates.

Shape suffixes: N poems, D features, T positions, E embedding size, H hidden size.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding_bag
from torch.nn.utils.rnn import pad_sequence

from poetgen.data.poem import Poem
from poetgen.evaluation.reader.features import PoemFeatures, facing_pairs
from poetgen.language import tr_noop

Scores = NDArray[np.float64]
"""One per poem: above 0, the judge says that a poem is of the second source."""

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
_NUM_BUCKETS = 1 << 18
_MIN_COUNT = 2


@dataclass(frozen=True)
class Labeled:
    """Poems of two sources; the same number of each."""

    first: Sequence[Poem]
    second: Sequence[Poem]

    @property
    def poems(self) -> list[Poem]:
        return [*self.first, *self.second]

    def labels(self) -> Tensor:
        """Return 0 for each poem of the first source, then 1 for each of the second, (N,)."""
        return torch.tensor([0.0] * len(self.first) + [1.0] * len(self.second))

    def accuracy(self, scores: Scores) -> float:
        """Return the share of poems whose score has the right sign."""
        return float(((scores > 0) == (self.labels().numpy() > 0)).mean())


class Judge(Protocol):
    """Something that learns to tell two sources apart."""

    name: str

    def fit(self, train: Labeled, selection: Labeled) -> None:
        """Learn from `train`, and choose what has to be chosen on `selection`."""

    def scores(self, poems: Sequence[Poem]) -> Scores:
        """Return a score per poem."""


class FeatureJudge:
    """Logistic regression on the features of a poem, standardized, with their squares."""

    name = tr_noop("features")

    def __init__(self, features: PoemFeatures) -> None:
        self._features = features

    def fit(self, train: Labeled, selection: Labeled) -> None:
        """See `Judge`."""
        raw = self._features.matrix(train.poems)
        self._mean, self._scale = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-6)
        train_ND, selection_ND = self._design(train.poems), self._design(selection.poems)
        self._weights_D = _best_weights(
            lambda weights_D: train_ND @ weights_D,
            train.labels(),
            train_ND.shape[1],
            lambda weights_D: selection.accuracy((selection_ND @ weights_D).numpy()),
        )

    def scores(self, poems: Sequence[Poem]) -> Scores:
        """See `Judge`."""
        found: Scores = (self._design(poems) @ self._weights_D).numpy()
        return found

    def _design(self, poems: Sequence[Poem]) -> Tensor:
        standard = (self._features.matrix(poems) - self._mean) / self._scale
        standard = np.clip(standard, -4, 4)
        ones = np.ones((len(poems), 1))
        return torch.from_numpy(np.concatenate([ones, standard, standard**2 - 1], axis=1))


class PhraseJudge:
    """Logistic regression on hashed characters, adjacent pairs, and pairs across a couplet."""

    name = tr_noop("phrases")

    def fit(self, train: Labeled, selection: Labeled) -> None:
        """See `Judge`."""
        train_bags, selection_bags = _Bags.of(train.poems), _Bags.of(selection.poems)
        self._weights_D = _best_weights(
            train_bags.logits,
            train.labels(),
            _NUM_BUCKETS,
            lambda weights_D: selection.accuracy(selection_bags.logits(weights_D).numpy()),
        )

    def scores(self, poems: Sequence[Poem]) -> Scores:
        """See `Judge`."""
        found: Scores = _Bags.of(poems).logits(self._weights_D).numpy()
        return found


@dataclass(frozen=True)
class _Bags:
    """The hashed features of poems, each poem's with the same weight."""

    buckets: Tensor
    starts_N: Tensor
    shares: Tensor

    @classmethod
    def of(cls, poems: Sequence[Poem]) -> "_Bags":
        bags = [
            [zlib.crc32(text.encode()) % _NUM_BUCKETS for text in _phrases(one)] for one in poems
        ]
        lengths = torch.tensor([len(bag) for bag in bags])
        return cls(
            torch.tensor([bucket for bag in bags for bucket in bag]),
            torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]]),
            lengths.double().rsqrt().repeat_interleave(lengths),
        )

    def logits(self, weights_D: Tensor) -> Tensor:
        return embedding_bag(
            self.buckets,
            weights_D[:, None],
            self.starts_N,
            mode="sum",
            per_sample_weights=self.shares,
        )[:, 0]


def _phrases(poem: Poem) -> Iterator[str]:
    yield ""  # the intercept
    yield from poem.characters
    for line in poem.lines:
        yield from map("".join, pairwise(f"^{line}$"))
    for upper, lower in facing_pairs(poem.lines):
        yield f"{upper}/{lower}"


def _best_weights(logits: "_Logits", labels_N: Tensor, size: int, accuracy: "_Accuracy") -> Tensor:
    """Return the weights of the penalty with the best accuracy on the selection poems."""
    candidates = [_fit_logistic(logits, labels_N, size, penalty) for penalty in _PENALTIES]
    return max(candidates, key=accuracy)


class _Logits(Protocol):
    def __call__(self, weights_D: Tensor, /) -> Tensor: ...


class _Accuracy(Protocol):
    def __call__(self, weights_D: Tensor, /) -> float: ...


def _fit_logistic(logits: _Logits, labels_N: Tensor, size: int, penalty: float) -> Tensor:
    """Minimize the mean cross-entropy plus penalty/2 · |weights|² by L-BFGS (float64)."""
    weights_D = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights_D], max_iter=100, line_search_fn="strong_wolfe")
    targets_N = labels_N.double()

    def loss() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = binary_cross_entropy_with_logits(logits(weights_D), targets_N)
        value = value + penalty / 2 * (weights_D**2).sum() / len(targets_N) ** 0.5
        torch.autograd.backward(value)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # by torch
    return weights_D.detach()


class SequenceJudge:
    """A bidirectional LSTM over the characters, marks included; the mean and the maximum of its states."""

    name = tr_noop("LSTM")

    num_epochs = 12
    batch_size = 32

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed

    def fit(self, train: Labeled, selection: Labeled) -> None:
        """See `Judge`; the best of `num_epochs` is kept."""
        counts: dict[str, int] = {}
        for poem in train.poems:
            for character in poem.text:
                counts[character] = counts.get(character, 0) + 1
        frequent = [character for character, num in counts.items() if num >= _MIN_COUNT]
        self._ids = {character: i for i, character in enumerate(frequent, start=2)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._network = _SequenceNetwork(len(self._ids) + 2)
            self._train(train, selection)

    def _train(self, train: Labeled, selection: Labeled) -> None:
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=2e-3, weight_decay=0.05)
        sequences, labels_N = self._encode(train.poems), train.labels()
        best, best_state = -1.0, self._network.state_dict()
        for _ in range(self.num_epochs):
            self._network.train()
            for rows in torch.split(torch.randperm(len(sequences)), self.batch_size):
                logits_N = self._network(_pad([sequences[row] for row in rows]))
                loss = binary_cross_entropy_with_logits(logits_N, labels_N[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
                optimizer.step()
            accuracy = selection.accuracy(self.scores(selection.poems))
            if accuracy > best:
                state = self._network.state_dict()
                best, best_state = accuracy, {name: w.clone() for name, w in state.items()}
        self._network.load_state_dict(best_state)

    @torch.inference_mode()
    def scores(self, poems: Sequence[Poem]) -> Scores:
        """See `Judge`."""
        self._network.eval()
        sequences = self._encode(poems)
        parts = [
            self._network(_pad(sequences[start : start + 256]))
            for start in range(0, len(poems), 256)
        ]
        return torch.cat(parts).double().numpy()

    def _encode(self, poems: Sequence[Poem]) -> list[Tensor]:
        return [torch.tensor([self._ids.get(c, 1) for c in poem.text]) for poem in poems]


class _SequenceNetwork(nn.Module):
    def __init__(self, num_symbols: int, size: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_symbols, size, padding_idx=0)
        self.lstm = nn.LSTM(size, size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.4)
        self.output = nn.Linear(4 * size, 1)

    def forward(self, tokens_NT: Tensor) -> Tensor:
        """Return a logit per poem, (N,); the poems of a form have nearly equal lengths."""
        states_NTH, _ = self.lstm(self.dropout(self.embedding(tokens_NT)))
        is_token_NT1 = (tokens_NT != 0)[:, :, None]
        mean_NH = (states_NTH * is_token_NT1).sum(dim=1) / is_token_NT1.sum(dim=1)
        max_NH = states_NTH.masked_fill(~is_token_NT1, -1.0).amax(dim=1)
        logits_N: Tensor = self.output(self.dropout(torch.cat([mean_NH, max_NH], dim=1)))[:, 0]
        return logits_N


def _pad(sequences: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(sequences), batch_first=True)
