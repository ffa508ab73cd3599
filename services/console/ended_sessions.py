"""Sessions that were ended before their time: a copy of their cookie is worthless, at every console."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable

from pydantic import ValidationError

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.session_ends import SessionEnd
from sluiceway.errors import Conflict
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import TIME_TO_LIVE, ConditionalMessage, StreamPublisher
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import Record
from sluiceway.messaging.stream_view import StreamView
from sluiceway.messaging.streams import SESSION_SECONDS_MAX

from .sessions import Session, digest

#: Sessions of one principal that are remembered one by one. A further one ends all of that principal, so
#: that nobody fills the stream, or the memory of the consoles.
ENDED_ONE_BY_ONE_MAX = 100
#: How long the answer of an identity provider may be used; and how long its use is remembered.
SIGN_IN_SECONDS = 3_600
LIFETIME = {TIME_TO_LIVE: f"{2 * SIGN_IN_SECONDS}s"}


class EndedSessions(StreamView):
    """Ends sessions, and follows those that any console has ended, while the block runs.

    What was ended stays ended in this process, also if the stream goes back to an earlier day.
    """

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.on_ended: Callable[[], None] = lambda: None
        self._clock = clock
        self._publisher = StreamPublisher(connection, subjects.SESSIONS_STREAM)
        #: Principal → sessions that were ended, by their digests.
        self._ended: defaultdict[str, set[str]] = defaultdict(set)
        #: Principal → the time before which all of its sessions began that were ended together.
        self._ended_before_ms: dict[str, int] = {}
        #: When each was ended, oldest first, to forget it when its cookie has expired anyway.
        self._times_ms: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.follower = Follower(
            connection, subjects.SESSIONS_STREAM, [subjects.ENDED_SESSIONS], self._on_record
        )

    def __contains__(self, session: Session) -> bool:
        """Return whether a session was ended."""
        principal, id_ = session.digests
        before_ms = self._ended_before_ms.get(principal)
        return (before_ms is not None and session.since_ms <= before_ms) or id_ in self._ended.get(
            principal, ()
        )

    async def end(self, session: Session) -> None:
        """End a session everywhere; `Unavailable` if that could not be stored, and then it goes on."""
        principal, id_ = session.digests
        if len(self._ended.get(principal, ())) >= ENDED_ONE_BY_ONE_MAX:
            await self.end_all(session)
            return
        now_ms = self._clock()
        await self._publisher.publish(subjects.ended_session(principal, id_), _body(now_ms))
        self._record(principal, id_, now_ms)

    async def end_all(self, session: Session) -> None:
        """End all sessions that were started with this one's key or account, until now."""
        principal, _ = session.digests
        now_ms = self._clock()
        await self._publisher.publish(subjects.ended_sessions(principal), _body(now_ms))
        self._record(principal, "", now_ms)

    async def use_once(self, token: str) -> bool:
        """Return whether nobody has used a token of a sign-in before, at any console."""
        subject = subjects.used_sign_in(digest(token))
        try:
            await self._publisher.append(ConditionalMessage(subject, b"", LIFETIME, expected=0))
        except Conflict:
            return False
        return True

    def _on_record(self, record: Record) -> None:
        principal, id_ = subjects.parse_ended_session(record.subject)
        try:
            ended_ms = SessionEnd.model_validate_json(record.data).ended_ms
        except ValidationError:  # whatever was meant, the sessions until then are ended
            ended_ms = record.time_ms
        self._record(principal, id_, ended_ms)

    def _record(self, principal: str, id_: str, now_ms: int) -> None:
        if id_:
            self._ended[principal].add(id_)
        else:
            self._ended_before_ms[principal] = max(now_ms, self._ended_before_ms.get(principal, 0))
        self._times_ms[principal, id_] = now_ms
        self._times_ms.move_to_end((principal, id_))
        self._forget_expired(now_ms)
        self.on_ended()

    def _forget_expired(self, now_ms: int) -> None:
        while self._times_ms:
            (principal, id_), time_ms = next(iter(self._times_ms.items()))
            if time_ms >= now_ms - SESSION_SECONDS_MAX * 1_000:
                return
            self._times_ms.popitem(last=False)
            if not id_:
                self._ended_before_ms.pop(principal, None)
                continue
            self._ended[principal].discard(id_)
            if not self._ended[principal]:
                del self._ended[principal]


def _body(ended_ms: int) -> bytes:
    return SessionEnd(ended_ms=ended_ms).to_json()
