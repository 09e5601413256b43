"""Option values that commands share."""

from enum import StrEnum


class Script(StrEnum):
    """Which characters to print."""

    simplified = "simplified"
    traditional = "traditional"


class OutputFormat(StrEnum):
    """How to print poems."""

    text = "text"
    jsonl = "jsonl"
