"""The commands that led to the newest records of a stream, as their headers say.

A command is sent again if no answer comes. A scheduler that was frozen finds it late, in its socket, when its
sender has the answer of another one, and others have changed the same thing since.
"""

from collections import OrderedDict

from ..contracts import envelope
from ..contracts.commands import IdempotencyKey
from .stream_records import Record

#: Commands that are remembered: of some minutes, if hundreds come each second. 5 MB.
REMEMBERED_MAX = 20_000


class AppliedCommands:
    """What was followed of a stream, and what is added of the time before: the newest commands of it."""

    def __init__(self, remembered_max: int = REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        #: Subject and command, the oldest first.
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, record: Record) -> None:
        """Remember the command of a record, if it names one."""
        if command := record.headers.get(envelope.COMMAND):
            self._known[record.subject, command] = None
            if len(self._known) > self._remembered_max:
                self._known.popitem(last=False)

    def has(self, subject: str, key: IdempotencyKey) -> bool:
        """Return whether a command has led to a record on a subject."""
        return (subject, key.scoped_id) in self._known

    def clear(self) -> None:
        """Forget everything: the stream went back, so what it led to may be lost."""
        self._known.clear()
