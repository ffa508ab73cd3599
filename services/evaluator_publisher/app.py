"""Builds the evaluator-publisher and wires its adapters."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cache

from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.checkpoint_store import CheckpointStore
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.service import Service, background_task

from . import metrics
from .checkpoints import Checkpoints
from .fan_out import FanOut
from .publishable_rules import PublishableRules

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
        rules = RuleStore(connection)
        rules.on_newest = _revision_gauges()
        dead_letters = DeadLetters(connection, self.name)
        publishable = PublishableRules(features, feature_log, dead_letters, lambda: rules.message_bytes_max)
        checkpoints = Checkpoints(CheckpointStore(connection), features, catalogue, rules)
        fan_out = FanOut(features, catalogue, rules, publishable, clock, checkpoints)
        for name, view in (("catalogue", catalogue), ("rules", rules), ("log", features)):
            await self.follow(name, view, stack)
        publishable.on_conflict = fan_out.check
        features.on_change = fan_out.feature_changed
        catalogue.on_change = fan_out.catalogue_changed
        rules.on_foreign_write = fan_out.rules_overwritten
        rules.on_other_write = fan_out.rules_written
        rules.on_foreign_mark = fan_out.mark_again
        rules.on_unread_mark = fan_out.read_marks
        for followed in (features, catalogue, rules):
            followed.on_reset = fan_out.check_all
        stack.callback(connection.on_reconnect(fan_out.renew_marks))
        fan_out.check_unproved()
        await stack.enter_async_context(background_task(fan_out.run(), "fan out"))
        await stack.enter_async_context(background_task(fan_out.watch_for_removals(), "removals from RULES"))
        await stack.enter_async_context(background_task(fan_out.save_checkpoints(), "checkpoints"))


def _revision_gauges() -> Callable[[str, int], None]:
    """Return what sets the gauge of a region; each gauge is looked up once."""
    gauge_of = cache(metrics.PUBLISHED_REVISION.labels)
    return lambda region, sequence: gauge_of(region).set(sequence)
