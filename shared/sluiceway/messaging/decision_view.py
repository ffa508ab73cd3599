"""The newest event of every feature, and what a decision about one of them depends on of the others."""

from ..contracts import subjects
from ..contracts.commands import FeatureCommand
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.reference_graph import ReferenceGraph
from .applied_commands import AppliedCommands
from .connection import Connection
from .feature_indexes import PipelineUsage, ReferenceIndex
from .feature_log import EncodedEvent, FeatureLog
from .feature_view import FeatureView
from .stream_records import Record


class DecisionView(FeatureView):
    """Follows FEATURES while the block runs. To ask for references and use costs no walk over features."""

    def __init__(self, connection: Connection, feature_log: FeatureLog) -> None:
        super().__init__(connection, feature_log)
        self._references = self.with_index(ReferenceIndex())
        self._usage = self.with_index(PipelineUsage())
        #: The commands that led to what was followed.
        self.applied = AppliedCommands()

    @property
    def references(self) -> ReferenceGraph:
        """What every feature refers to, and what refers to it; it never changes."""
        return self._references.graph

    @property
    def usage(self) -> Usage:
        """Which features are attached to each pipeline, and released by it; it never changes."""
        return self._usage.usage

    def has_applied(self, command: FeatureCommand) -> bool:
        """Return whether the log holds an event of a command, as far as it was followed or written here."""
        return self.applied.has(subjects.feature(command.key), command.idempotency_key)

    def add(self, event: EncodedEvent, sequence: int) -> None:
        subject = subjects.feature(event.event.feature.key)
        self.applied.add(Record(subject, sequence, event.event.time_ms, b"", event.headers))
        super().add(event, sequence)

    def _on_record(self, record: Record) -> None:
        self.applied.add(record)
        super()._on_record(record)

    def _reset(self) -> None:
        self.applied.clear()
        super()._reset()
