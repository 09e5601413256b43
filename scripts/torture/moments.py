"""The moments of a process at which a save is half done.

Files are saved in steps: create a temporary file, write it, bring it to the disk, rename it.  A kill
between two steps is the hardest one to survive, and at random it is rare.  So a process counts these
moments and acts at one of them, for example kills itself.  The same number is the same moment in every run.
"""

import fcntl
import mmap
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

Act = Callable[[], object]


def kill() -> None:
    """End this process as a power cut would: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Moments:
    """The moments of a child process; its parent reads how many there were.

    moments = Moments()
    Command(arguments, folder, partial(moments.watch, 3, kill)).wait(60)
    moments.acted
    """

    num_torn_bytes: int = 0
    """How many bytes of a log that are not on the disk yet are lost at the moment."""
    _shared: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 2 * 8))
    _synced: dict[int, int] = field(default_factory=dict)

    @property
    def num(self) -> int:
        """How many moments there were."""
        return int.from_bytes(self._shared[:8], "little")

    @property
    def acted(self) -> bool:
        """Whether the process reached its moment."""
        return any(self._shared[8:])

    def watch(self, number: int = 0, act: Act = kill) -> None:
        """Count the moments of this process, and act at one of them (from 1; 0: at none)."""
        sync = os.fsync

        def fsync(descriptor: Any) -> None:
            status = os.fstat(descriptor)
            tear = partial(self._tear, descriptor, self._synced.get(status.st_ino, 0))
            self._reach(number, lambda: (tear(), act()))
            sync(descriptor)
            self._synced[status.st_ino] = status.st_size
            self._reach(number, act)

        vars(os).update(fsync=fsync)
        sys.addaudithook(lambda event, values: self._audit(event, values, number, act))

    def _audit(self, event: str, values: tuple[Any, ...], number: int, act: Act) -> None:
        if event not in ("open", "os.chmod", "os.rename"):
            return
        name = values[0] if isinstance(values[0], str) else ""
        if name.endswith(".part"):
            self._reach(number, act)

    def _reach(self, number: int, act: Act) -> None:
        num = self.num + 1
        self._shared[:8] = num.to_bytes(8, "little")
        if num == number:
            self._shared[8:] = (1).to_bytes(8, "little")
            act()

    def _tear(self, descriptor: int, num_synced: int) -> None:
        """Shorten a log, which is opened to append, as a kill within a write can leave it."""
        if self.num_torn_bytes and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            size = os.fstat(descriptor).st_size
            os.ftruncate(descriptor, max(num_synced, size - self.num_torn_bytes))
