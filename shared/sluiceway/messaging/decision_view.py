"""The newest event of every feature, and what a decision about one of them depends on of the others."""

from ..pipelines.catalogue_decisions import Usage
from ..pipelines.reference_graph import ReferenceGraph
from .connection import Connection
from .feature_indexes import PipelineUsage, ReferenceIndex
from .feature_log import FeatureLog
from .feature_view import FeatureView


class DecisionView(FeatureView):
    """Follows FEATURES while the block runs. To ask for references and use costs no walk over features."""

    def __init__(self, connection: Connection, feature_log: FeatureLog) -> None:
        super().__init__(connection, feature_log)
        self._references = self.with_index(ReferenceIndex())
        self._usage = self.with_index(PipelineUsage())

    @property
    def references(self) -> ReferenceGraph:
        """What every feature refers to, and what refers to it; it never changes."""
        return self._references.graph

    @property
    def usage(self) -> Usage:
        """Which features are attached to each pipeline, and released by it; it never changes."""
        return self._usage.usage
