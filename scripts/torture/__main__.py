"""The torture of poetgen: bash scripts/torture.sh.

Kills, full disks, damaged files, hostile servers, many prompts, rivals and signals.  Prints a table in
Markdown to standard output, and every fault, with the command that repeats it, to standard error.
"""

import os
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from torture.cases import Campaign, Row, Size, case_random, markdown_table
from torture.commands import import_program
from torture.workshop import Workshop

CAMPAIGNS = ("kills", "disks", "mutations", "downloads", "prompts", "rivals", "signals")
"""Each is a module with a function of its name."""


def read_arguments(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(prog="torture.sh", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="few cases of each, in a minute")
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, metavar="NAME", default=CAMPAIGNS)
    parser.add_argument("--seed", type=int, default=1, help="of all random choices; 1")
    parser.add_argument("--case", type=int, help="only the case of this number; needs one --only")
    parser.add_argument("--limit", type=int, help="at most this number of cases per row")
    parsed = parser.parse_args(arguments)
    if parsed.case is not None and len(parsed.only) != 1:
        parser.error("--case needs --only with one campaign")
    return parsed


def run_campaign(campaign: Campaign, arguments: Namespace) -> Iterator[Row]:
    """Run the cases of a campaign and yield its rows; report every fault on standard error."""
    rows = {case.subject: Row(campaign.name, case.subject) for case in campaign.cases}
    start = time.monotonic()
    for index, case in enumerate(campaign.cases):
        row = rows[case.subject]
        is_full = arguments.limit is not None and len(row.outcomes) >= arguments.limit
        if is_full or arguments.case not in (None, index):
            continue
        outcome = case.run(case_random(arguments.seed, campaign.name, index))
        rows[case.subject] = Row(row.campaign, row.subject, (*row.outcomes, outcome))
        if outcome.verdict.is_fault:
            print(
                f"{campaign.name} {index}, {case.subject}, {case.what}: {outcome.verdict}: "
                f"{outcome.detail}\n  → {repetition(campaign.name, index, arguments)}",
                file=sys.stderr,
                flush=True,
            )
    print(f"{campaign.name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    yield from rows.values()
    for subject, reason in campaign.skipped:
        yield Row(campaign.name, subject, skipped=f"skipped: {reason}")


def repetition(name: str, index: int, arguments: Namespace) -> str:
    """Return the command that repeats a case."""
    size = " --short" if arguments.short else ""
    return f"bash scripts/torture.sh{size} --only {name} --case {index} --seed {arguments.seed}"


def main() -> None:
    arguments = read_arguments()
    for name in ("POETGEN_CORPUS", "POETGEN_CORPUS_URL", "POETGEN_CHECKPOINT"):
        os.environ.pop(name, None)
    os.environ["POETGEN_LANGUAGE"] = "en"
    import_program()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        workshop = Workshop(Path(folder).resolve(), Size(arguments.short))
        for name in CAMPAIGNS:
            if name in arguments.only:
                campaign = getattr(import_module(f"torture.{name}"), name)(workshop)
                rows += run_campaign(campaign, arguments)
    print(markdown_table(rows))
    sys.exit(any(row.num_faults for row in rows))


if __name__ == "__main__":
    main()
