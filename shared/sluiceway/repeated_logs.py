"""Log lines that would repeat many times a second: the first of each kind, then one for a period."""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: At most one line of a kind within this time.
PERIOD_SECONDS = 60.0
#: Kinds that are told apart; the one that was logged longest ago is forgotten.
KINDS_MAX = 256


@dataclass(slots=True)
class _Repetition:
    logged_at: float
    left_out: int = 0
    #: Whether the log says that it is over, and when it said so last.
    is_over: bool = False
    ended_at: float = -math.inf


class RepeatedLogs:
    """Logs each kind of line once a period, with how many like it were left out since the last one.

    A line is logged within the period, too, if the log says that its kind is over.
    """

    def __init__(
        self,
        log: logging.Logger,
        period_seconds: float = PERIOD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._period = period_seconds
        self._clock = clock
        self._kinds: OrderedDict[Hashable, _Repetition] = OrderedDict()

    def info(self, kind: Hashable, message: str, *args: object) -> None:
        """Log something that is expected, unless one of its kind was logged within the period."""
        self._write(logging.INFO, kind, message, args)

    def warning(self, kind: Hashable, message: str, *args: object) -> None:
        """Log a warning, unless one of its kind was logged within the period."""
        self._write(logging.WARNING, kind, message, args)

    def error(self, kind: Hashable, message: str, *args: object) -> None:
        """Log an error, unless one of its kind was logged within the period."""
        self._write(logging.ERROR, kind, message, args)

    def end(self, kind: Hashable, message: str, *args: object) -> None:
        """Log that what was logged as `kind` is over, once a period; nothing if the log says so already."""
        now, known = self._clock(), self._kinds.get(kind)
        if known and not known.is_over and now - known.ended_at >= self._period:
            known.is_over, known.ended_at = True, now
            self._log.info(message, *args)

    def _write(self, level: int, kind: Hashable, message: str, args: tuple[object, ...]) -> None:
        now, known = self._clock(), self._kinds.pop(kind, None)
        if known and not known.is_over and now - known.logged_at < self._period:
            known.left_out += 1
            self._kinds[kind] = known
            return
        self._kinds[kind] = _Repetition(now, ended_at=known.ended_at if known else -math.inf)
        while len(self._kinds) > KINDS_MAX:
            self._kinds.popitem(last=False)
        if known and known.left_out:
            message, args = f"{message} (%s more like this were left out)", (*args, known.left_out)
        self._log.log(level, message, *args)
