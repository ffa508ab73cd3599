"""Events as the log stores them."""

from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog, headers_of
from sluiceway.messaging.stream_records import Record
from tests.support.answering_client import AnsweringClient
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

LOG = FeatureLog(Connection(AnsweringClient(lambda _: None)), "/tests")


def an_event(name: str = "gate") -> FeatureEvent:
    ledger = Ledger(a_catalogue(a_pipeline(a_phase())))
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID="release"))
    return ledger.events[-1]


def a_record(event: FeatureEvent, sequence: int, data: bytes | None = None) -> Record:
    headers = {name: str(value) for name, value in headers_of(event, "").items()}
    subject = subjects.feature(event.feature.key)
    return Record(subject, sequence, event.time_ms, event.to_json() if data is None else data, headers)
