"""What the monitor saw: each guardrail's rounds, and the verdicts that changed."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from pydantic import ValidationError

from ..contracts import envelope, subjects
from ..contracts.alerts import AnsweredAlert
from ..contracts.identifiers import feature_of
from ..contracts.measurements import Round, VerdictChanged
from .connection import Connection
from .history import read_history
from .publishing import ConditionalMessage, StreamPublisher
from .stream_follower import Follower, Record, StreamView

log = logging.getLogger(__name__)


class StoredRound(NamedTuple):
    """A round, and its sequence in MEASUREMENTS."""

    round: Round
    sequence: int


class MeasurementView(StreamView):
    """The newest round of every guardrail, followed while the block runs.

    They are kept as bytes: thousands of models that change all the time would keep the garbage
    collector busy, and each is looked at once before the next one comes.

    `on_round`, where one is set, is called with each one that comes behind the first load.
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

    def tail(self, trigger: str, phase: str, guardrail: str) -> int:
        """Return what the next round must expect as the last sequence of its subject."""
        newest = self._find(trigger, phase, guardrail)
        return newest.sequence if newest else 0

    def triggers(self) -> tuple[str, ...]:
        """Return the triggers that rounds are known of."""
        return tuple(self._newest)

    def forget(self, trigger: str) -> None:
        """Drop the rounds of a trigger that is over."""
        self._newest.pop(trigger, None)

    def _find(self, trigger: str, phase: str, guardrail: str) -> Record | None:
        return self._newest.get(trigger, {}).get(subjects.measurements(trigger, phase, guardrail))

    def _on_record(self, record: Record) -> None:
        trigger = subjects.parse_measured_trigger(record.subject)
        try:
            feature_of(trigger)
        except ValueError:
            log.warning("%s is no subject of rounds; passed over", record.subject)
            return
        of_trigger = self._newest.setdefault(trigger, {})
        known = of_trigger.get(record.subject)
        if known and known.sequence >= record.sequence:
            return
        of_trigger[record.subject] = record
        if self.on_round and self.follower.is_caught_up and (stored := parse_round(record)):
            self.on_round(stored)


class MeasurementStore:
    """Writes and reads back MEASUREMENTS and VERDICTS."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._js = connection.js
        self._measurements = StreamPublisher(connection, subjects.MEASUREMENTS_STREAM)
        self._verdicts = StreamPublisher(connection, subjects.VERDICTS_STREAM)
        self._source = source

    async def store_round(self, round_: Round, expected: int) -> int:
        """Store a round behind the sequence `expected` of its subject; return the new one.

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
        return await self._measurements.append(
            ConditionalMessage(subject, round_.to_json(), headers, expected)
        )

    async def store_verdict(self, change: VerdictChanged) -> None:
        """Store a verdict that changed; the same one twice is stored once."""
        id_ = f"{change.trigger}-{change.phase_id}-{change.guardrail}-{change.time_ms}-{change.verdict}"
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
        """Store what became of an alert; the same one twice is stored once."""
        await self._verdicts.publish(
            subjects.answered_alert(answered.source),
            answered.to_json(),
            message_id=f"alert-{answered.source}-{answered.sequence}",
        )

    async def answered_alerts(self) -> list[AnsweredAlert]:
        """Return what became of alerts, oldest first, as far back as it is kept."""
        found = await read_history(self._js, subjects.VERDICTS_STREAM, subjects.ANSWERED_ALERTS)
        return [AnsweredAlert.model_validate_json(data, extra="ignore") for _, data in found]

    async def verdicts(self, trigger: str) -> list[VerdictChanged]:
        """Return the verdicts that changed, oldest first, as far back as they are kept."""
        found = await read_history(self._js, subjects.VERDICTS_STREAM, subjects.verdicts(trigger))
        return [VerdictChanged.model_validate_json(data, extra="ignore") for _, data in found]

    async def rounds(self, trigger: str) -> list[Round]:
        """Return the looks at all guardrails of a trigger, oldest first, as far back as they are kept."""
        found = await read_history(self._js, subjects.MEASUREMENTS_STREAM, subjects.measurements_of(trigger))
        return [Round.model_validate_json(data, extra="ignore") for _, data in found]


def parse_round(record: Record) -> StoredRound | None:
    """Return the round in a message; None, told in the log, where it is none."""
    try:
        return StoredRound(Round.model_validate_json(record.data, extra="ignore"), record.sequence)
    except ValidationError as error:
        log.warning("%s: message %s is no round: %s", record.subject, record.sequence, error)
        return None
