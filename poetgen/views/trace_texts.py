"""Names and explanations that the tables, figures and pages of an inspection share."""

import re

from rich.cells import cell_len

from poetgen.inspection.result import GradientComparison, GradientDecay
from poetgen.language import tr, tr_noop

SERIES_NAMES = {
    "forget": tr_noop("forget gate"),
    "input": tr_noop("input gate"),
    "output": tr_noop("output gate"),
    "reset": tr_noop("reset gate"),
    "update": tr_noop("update gate"),
    "candidate": tr_noop("candidate"),
    "cell": tr_noop("cell"),
    "hidden": tr_noop("hidden state"),
}

EXPLANATIONS = {
    "lstm": {
        "forget": tr_noop("How much of the cell is kept: at 1 all of it, at 0 nothing."),
        "input": tr_noop("How much of the candidate is added to the cell: at 0 nothing."),
        "output": tr_noop(
            "How much of the cell is passed on, to the layer above and to the next step: at 0 nothing."
        ),
        "candidate": tr_noop(
            "A new value from −1 to 1, from the character (or the layer below) and the hidden state."
        ),
        "cell": tr_noop("The memory: forget gate × previous cell + input gate × candidate."),
    },
    "gru": {
        "reset": tr_noop(
            "How much of the hidden state enters the candidate: at 0 the candidate ignores the past."
        ),
        "update": tr_noop(
            "How much of the hidden state is kept: at 1 all of it, at 0 the candidate replaces it."
        ),
        "candidate": tr_noop(
            "A new value from −1 to 1, from the character (or the layer below) and the hidden state."
        ),
        "hidden": tr_noop(
            "The memory: update gate × previous hidden state + (1 − update gate) × candidate."
        ),
    },
    "rnn": {
        "hidden": tr_noop(
            "The memory, replaced at every step by a new value from −1 to 1: there is no gate to keep it."
        ),
    },
}
"""By cell, what its gates and states do, in the order of their use."""

GRADIENT_AXIS = tr_noop("gradient at the whole state, relative to the last step")

GRADIENT_METHOD = tr_noop(
    "Norm of the gradient of the last character's loss with respect to the model's whole state (the "
    "hidden states of all layers, and the cells of an LSTM) some steps back, relative to the last step; "
    "mean over the texts."
)


def gradient_source(comparison: GradientComparison) -> str:
    """Return which texts the models read."""
    first, *_ = comparison.texts
    if not comparison.generated:
        return tr("Text: {text}", text=first)
    return tr(
        "Texts: {num} poems by the first model, {length} characters of each",
        num=len(comparison.texts),
        length=len(first),
    )


def gradient_label(decay: GradientDecay) -> str:
    """Return the name of a model, its cell, and whether it is trained or fresh."""
    if decay.model is None:
        return tr("{cell}, fresh", cell=decay.cell)
    return tr("{model} ({cell}, trained)", model=decay.model, cell=decay.cell)


def gradient_rows(comparison: GradientComparison, lags: list[int]) -> list[list[str]]:
    """Return a table of the norms at `lags`: the headings, then a row per model."""
    return [
        [tr("steps back"), *map(str, lags)],
        *(
            [gradient_label(decay), *(f"{decay.norms[lag]:.1e}" for lag in lags)]
            for decay in comparison.decays
        ),
    ]


def wrap(text: str, width: int) -> str:
    r"""Return `text` in lines of `width` columns, broken at spaces and between Han characters.

    rich breaks at spaces only.

    >>> wrap("平均每字 2.75 奈特。", 12)
    '平均每字\n2.75 奈特。'
    """
    lines = [""]
    for word in re.findall(r"[\u2e80-\uffef][，。、；：）”？！]*\s*|[^\s\u2e80-\uffef]+\s*", text):
        if cell_len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)
