"""poetgen: a stacked-LSTM character language model of the Tang poems, and the poems it writes."""

__version__ = "0.1.0"
