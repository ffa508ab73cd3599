"""What of CATALOG concerns each region: its own document, and the SDK keys that open it. Bucket REGIONS."""

from collections.abc import Collection, Mapping

from ..contracts import subjects
from ..pipelines.decision import Catalogue
from .connection import Connection
from .publishing import DELETION, ConditionalMessage, StreamPublisher
from .stream_follower import Follower
from .stream_records import Record
from .stream_view import StreamView


def region_documents(catalogue: Catalogue) -> dict[str, bytes]:
    """Return the documents of all regions, by their subjects in REGIONS."""
    documents: dict[str, bytes] = {}
    for region in catalogue.regions.values():
        documents[subjects.region_document(region.name, "region", region.name)] = region.to_json()
        for key in catalogue.keys.values():
            if key.region == region.name or key.environment == region.environment:
                documents[subjects.region_document(region.name, "key", key.id)] = key.to_json()
    return documents


class RegionDocuments(StreamView):
    """Follows REGIONS while the block runs, and writes what differs."""

    def __init__(self, connection: Connection) -> None:
        self._publisher = StreamPublisher(connection, subjects.REGIONS_STREAM)
        #: Subject → its newest message, also one that marks a deletion.
        self._newest: dict[str, Record] = {}
        self.follower = Follower(
            connection,
            subjects.REGIONS_STREAM,
            [subjects.REGIONS],
            self._on_record,
            on_reset=self._newest.clear,
        )

    async def write(self, documents: Mapping[str, bytes], but_of: Collection[str] = ()) -> None:
        """Store these documents and delete all others; another replica may do the same meanwhile.

        `but_of`: regions whose documents stay as they are.
        Raises `Unavailable` if the broker does not store all of it.
        """
        await self.catch_up()
        messages = [
            self._message(subject, documents.get(subject))
            for subject in documents.keys() | self._newest.keys()
            if documents.get(subject) != self._stored(subject)
            and subjects.parse_region(subject) not in but_of
        ]
        if messages:
            await self._publisher.append_all(messages)

    def _stored(self, subject: str) -> bytes | None:
        record = self._newest.get(subject)
        return None if record is None or record.is_deletion else record.data

    def _message(self, subject: str, data: bytes | None) -> ConditionalMessage:
        known = self._newest.get(subject)
        headers = DELETION if data is None else {}
        return ConditionalMessage(subject, data or b"", headers, known.sequence if known else 0)

    def _on_record(self, record: Record) -> None:
        self._newest[record.subject] = record
