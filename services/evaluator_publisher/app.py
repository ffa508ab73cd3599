"""Builds the evaluator-publisher and wires its adapters."""

from contextlib import AsyncExitStack

from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.service import Service

from .publishable_rules import PublishableRules
from .rules_publisher import RulesPublisher

SOURCE = "/sluiceway/evaluator-publisher"


class EvaluatorPublisher(Service):
    """The running evaluator-publisher."""

    name = "evaluator_publisher"

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Read everything first: what is not read yet would look deleted. Then publish what changes."""
        clock = await self.broker_clock(connection, stack, decides=False)
        feature_log = FeatureLog(connection, SOURCE)
        features = FeatureView(connection, feature_log)
        catalogue = CatalogueView(connection)
        dead_letters = DeadLetters(connection, self.name)
        publishable = PublishableRules(
            features,
            feature_log,
            dead_letters,
            lambda: catalogue.catalogue().regions.values(),
            lambda: publisher.message_bytes_max,
        )
        publisher = RulesPublisher(connection, features, catalogue, publishable, clock)
        for name, view in (("catalogue", catalogue), ("log", features)):
            await self.follow(name, view, stack)
        publishable.on_conflict = publisher.check
        features.on_change = publisher.feature_changed
        features.on_reset = publisher.start_over
        catalogue.on_change = publisher.catalogue_changed
        catalogue.on_reset = publisher.check_all
        stack.callback(connection.on_reconnect(publisher.renew_marks))
        await self.follow("rules", publisher, stack)
