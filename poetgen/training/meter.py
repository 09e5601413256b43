"""Loss, rate and time left of a run that is training, as numbers and as text.  Does not import torch."""

from tqdm.utils import disp_len

from poetgen.language import tr
from poetgen.progress import format_duration
from poetgen.training.history import perplexity

_WINDOW = 20
"""Loss and rate are running means over about this number of steps."""
_GAP = "  "


class Meter:
    """The values that a progress bar shows.

    meter = Meter(step=0, total_steps=3040)
    meter.update(1, nats_per_token=8.7, tokens_per_second=9_500.0, now=monotonic())
    """

    def __init__(self, *, step: int, total_steps: int) -> None:
        self._step = step
        self._total_steps = total_steps
        self._first: tuple[int, float] | None = None
        """The first step and the time of its end; kernels are prepared in it, so time starts after it."""
        self._now = 0.0
        self.nats_per_token = self.tokens_per_second = 0.0

    def update(
        self, step: int, *, nats_per_token: float, tokens_per_second: float, now: float
    ) -> None:
        """Count a step that ended at the time `now`, in seconds."""
        self._step, self._now = step, now
        self._first = self._first or (step, now)
        weight = 1 / min(self.num_measured + 1, _WINDOW)
        self.nats_per_token += weight * (nats_per_token - self.nats_per_token)
        self.tokens_per_second += weight * (tokens_per_second - self.tokens_per_second)

    @property
    def num_measured(self) -> int:
        """Number of steps that the time left is measured on."""
        return self._step - self._first[0] if self._first else 0

    @property
    def seconds_measured(self) -> float:
        return self._now - self._first[1] if self._first else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the mean rate so far, validations included; None before two steps."""
        if not self.num_measured:
            return None
        return self.seconds_measured / self.num_measured * (self._total_steps - self._step)

    def texts(self) -> dict[str, str]:
        """Return the values as texts, by name, in the order in which they are shown."""
        nats, left = self.nats_per_token, self.seconds_left
        texts = {
            "share": f"{self._step / max(1, self._total_steps):.0%}",
            "loss": tr("loss {loss:.3f}", loss=nats),
            "perplexity": tr("perplexity {perplexity:,.1f}", perplexity=perplexity(nats)),
            "rate": tr("{rate:,.0f} tokens/s", rate=self.tokens_per_second),
        }
        if left is not None:
            texts["left"] = tr("{time} left", time=format_duration(left))
        return texts


_BY_IMPORTANCE = ("left", "perplexity", "share", "epoch", "rate", "loss")


def fitted(texts: dict[str, str], columns: int) -> str:
    """Return the most important of `texts` that fit into a terminal row, in their order.

    >>> fitted({"epoch": "epoch 1/8", "perplexity": "perplexity 99.9", "left": "5 min left"}, 28)
    'perplexity 99.9  5 min left'
    """
    shown: set[str] = set()
    for name in filter(texts.__contains__, _BY_IMPORTANCE):
        row = _GAP.join(text for key, text in texts.items() if key in shown | {name})
        if disp_len(row) <= columns:
            shown.add(name)
    return _GAP.join(text for name, text in texts.items() if name in shown)
