"""What the monitor measured: the rounds of each guardrail, and its verdicts when they change."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from ..contracts import envelope, subjects
from ..contracts.alerts import AnsweredAlert
from ..contracts.identifiers import feature_of
from ..contracts.measurements import Round, VerdictChanged
from ..pipelines.round_sizes import fitted_round
from ..telemetry import metrics
from .connection import Connection
from .history import read_history
from .message_size import header_bytes
from .publishing import ConditionalMessage, StreamPublisher
from .stream_follower import Follower
from .stream_records import Record
from .stream_view import StreamView

log = logging.getLogger(__name__)

Stored = TypeVar("Stored", AnsweredAlert, VerdictChanged, Round)
#: Bytes of the header that makes a message conditional.
CONDITION_HEADER_BYTES = 100


class StoredRound(NamedTuple):
    """A round, and its sequence in MEASUREMENTS."""

    round: Round
    sequence: int


class MeasurementView(StreamView):
    """The newest round of every guardrail, followed while the block runs.

    Rounds are stored as bytes: thousands of models that change all the time would keep the garbage
    collector busy, and each is read about once.

    `on_round`, if set, is called with each round that comes after the initial ones.
    """

    def __init__(self, connection: Connection) -> None:
        self.on_round: Callable[[StoredRound], None] | None = None
        #: By trigger, then by subject.
        self._newest: dict[str, dict[str, Record]] = {}
        self.follower = Follower(
            connection,
            subjects.MEASUREMENTS_STREAM,
            [subjects.MEASUREMENTS],
            self._on_record,
            on_reset=self._newest.clear,
        )

    def get(self, trigger: str, phase: str, guardrail: str) -> StoredRound | None:
        """Return the newest round of a guardrail."""
        newest = self._find(trigger, phase, guardrail)
        return parse_round(newest) if newest else None

    def last_sequence(self, trigger: str, phase: str, guardrail: str) -> int:
        """Return the sequence that the next round must expect; 0 before the first one."""
        newest = self._find(trigger, phase, guardrail)
        return newest.sequence if newest else 0

    def triggers(self) -> tuple[str, ...]:
        """Return the triggers that have rounds."""
        return tuple(self._newest)

    def forget(self, trigger: str) -> None:
        """Remove the rounds of a trigger that has ended."""
        self._newest.pop(trigger, None)

    def _find(self, trigger: str, phase: str, guardrail: str) -> Record | None:
        return self._newest.get(trigger, {}).get(subjects.measurements(trigger, phase, guardrail))

    def _on_record(self, record: Record) -> None:
        trigger = subjects.parse_measured_trigger(record.subject)
        try:
            feature_of(trigger)
        except ValueError:
            metrics.INVALID_RECORDS.labels(subjects.MEASUREMENTS_STREAM).inc()
            log.warning("ignoring a message on %s: its subject names no trigger", record.subject)
            return
        of_trigger = self._newest.setdefault(trigger, {})
        known = of_trigger.get(record.subject)
        if known and known.sequence >= record.sequence:
            return
        of_trigger[record.subject] = record
        if self.on_round and self.follower.is_caught_up and (stored := parse_round(record)):
            self.on_round(stored)


class MeasurementStore:
    """Writes and reads MEASUREMENTS and VERDICTS."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._js = connection.js
        self._measurements = StreamPublisher(connection, subjects.MEASUREMENTS_STREAM)
        self._verdicts = StreamPublisher(connection, subjects.VERDICTS_STREAM)
        self._source = source

    async def store_round(self, round_: Round, expected: int) -> int:
        """Store a round after the sequence `expected` of its subject; return the new sequence.

        Of a round that is larger than a message, texts and other regions are left out; the counts stay.
        Raises `Conflict` if another replica has measured too: its round counts, this one does not.
        """
        subject = subjects.measurements(round_.trigger, round_.phase_id, round_.guardrail)
        headers = envelope.cloud_event(
            "sluiceway.guardrail_measured",
            id_=f"{subject}-{round_.time_ms}",
            time_ms=round_.time_ms,
            source=self._source,
            subject=round_.trigger,
        )
        bytes_max = self._measurements.message_bytes_max - header_bytes(headers) - CONDITION_HEADER_BYTES
        data = fitted_round(round_, bytes_max).to_json()
        return await self._measurements.append(ConditionalMessage(subject, data, headers, expected))

    async def store_verdict(self, change: VerdictChanged) -> None:
        """Store a changed verdict; a duplicate is not stored."""
        parts = (change.trigger, change.phase_id, change.guardrail, change.time_ms, change.verdict)
        id_ = "-".join(map(str, (*parts, change.action) if change.action else parts))
        headers = envelope.cloud_event(
            "sluiceway.guardrail_verdict",
            id_=id_,
            time_ms=change.time_ms,
            source=self._source,
            subject=change.trigger,
        )
        subject = subjects.verdicts(change.trigger)
        await self._verdicts.publish(subject, change.to_json(), headers, message_id=id_)

    async def store_answer(self, answered: AnsweredAlert) -> None:
        """Store the outcome of an alert; a duplicate is not stored."""
        await self._verdicts.publish(
            subjects.answered_alert(answered.source),
            answered.to_json(),
            message_id=f"alert-{answered.source}-{answered.sequence}-{answered.time_ms}",
        )

    async def answered_alerts(self) -> list[AnsweredAlert]:
        """Return the outcomes of alerts, oldest first, as far back as they are stored."""
        found = await read_history(self._js, subjects.VERDICTS_STREAM, subjects.ANSWERED_ALERTS)
        return _valid(AnsweredAlert, found)

    async def verdicts(self, trigger: str) -> list[VerdictChanged]:
        """Return the changed verdicts of a trigger, oldest first, as far back as they are stored."""
        found = await read_history(self._js, subjects.VERDICTS_STREAM, subjects.verdicts(trigger))
        return _valid(VerdictChanged, found)

    async def rounds(self, trigger: str) -> list[Round]:
        """Return the rounds of all guardrails of a trigger, oldest first, as far back as they are stored."""
        found = await read_history(self._js, subjects.MEASUREMENTS_STREAM, subjects.measurements_of(trigger))
        return _valid(Round, found)


def _valid(model: type[Stored], found: Iterable[tuple[int, bytes]]) -> list[Stored]:
    """Return the models in these messages, without invalid ones."""
    valid = []
    for sequence, data in found:
        try:
            valid.append(model.model_validate_json(data, extra="ignore"))
        except ValidationError as error:
            log.warning("skipping message %s, which is not a valid %s: %s", sequence, model.__name__, error)
    return valid


def parse_round(record: Record) -> StoredRound | None:
    """Return the round in a message; None, with a warning, if it is invalid."""
    try:
        return StoredRound(Round.model_validate_json(record.data, extra="ignore"), record.sequence)
    except ValidationError as error:
        metrics.INVALID_RECORDS.labels(subjects.MEASUREMENTS_STREAM).inc()
        log.warning("%s: message %s is not a valid round: %s", record.subject, record.sequence, error)
        return None
