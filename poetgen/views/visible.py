"""Tables for a terminal whose text, from outside in part, has no effect on the terminal."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from poetgen.terminal import visible


@dataclass(frozen=True)
class Visible:
    """A table or another renderable of rich with its hidden characters escaped.

    console.print(Visible(table))
    """

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.content, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)
