"""Keeps the copies on the leaf nodes of regions, for each region that has one."""

import asyncio
import logging
from collections.abc import Iterable

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from sluiceway.backoff import Backoff
from sluiceway.errors import SluicewayError, error_text
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.region_leaves import CopyProblem, RegionLeaf
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)

#: The copies on each leaf node are looked at this often.
CHECK_EVERY_SECONDS = 5.0
#: Two schedulers should not look at the same moment.
JITTER = 0.4
#: Leaf nodes that are looked at together: one that does not answer delays others by a few seconds at most.
LEAVES_TOGETHER = 64
#: After a repair, the same region is repaired again no sooner than this; the pause doubles up to the longest.
REPAIR_FIRST_SECONDS = 5.0
REPAIR_MAX_SECONDS = 300.0


class _Leaf:
    """What is known of the leaf node of a region that has answered."""

    def __init__(self, leaf: RegionLeaf) -> None:
        self.leaf = leaf
        self.answers = False
        #: One for each, so that none lets the others' lines be forgotten.
        self.repeated = RepeatedLogs(log)
        #: How often this process had connected again when the keys were compared; None if they have to be.
        self.compared_after: int | None = None
        self.pause = Backoff(REPAIR_FIRST_SECONDS, REPAIR_MAX_SECONDS)
        #: By the loop's clock.
        self.repaired_again_at = 0.0


class RegionLeaves:
    """Looks at the leaf node of each region, and repairs what is not as it should be.

    A region without one costs a request that nobody answers.
    """

    name = "leaf nodes of regions"

    def __init__(self, connection: Connection, catalogue: CatalogueView) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._leaves: dict[str, _Leaf] = {}

    def wake(self, kind: str) -> None:
        """Do nothing: what a change of the catalogue needs is copied to the account first."""

    async def run(self) -> None:
        """Keep everything as it should be until cancelled."""
        pause = Backoff(CHECK_EVERY_SECONDS, CHECK_EVERY_SECONDS, jitter=JITTER)
        while True:
            await self.check(self._catalogue.catalogue().regions)
            await asyncio.sleep(pause.next_seconds())

    async def check(self, regions: Iterable[str]) -> None:
        """Look at the leaf nodes of these regions once, whatever becomes of any of them."""
        names = set(regions)
        for gone in self._leaves.keys() - names:
            del self._leaves[gone]
        slots = asyncio.Semaphore(LEAVES_TOGETHER)
        async with asyncio.TaskGroup() as tasks:
            for region in names:
                tasks.create_task(self._check_one(region, slots), name=f"leaf node of {region}")

    async def _check_one(self, region: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            known = self._leaves.setdefault(region, _Leaf(RegionLeaf(self._connection.client, region)))
            try:
                await self._keep(known)
            except NoRespondersError:
                if known.answers:
                    log.warning(
                        "the leaf node of %s does not answer; its edges go on with what it has", region
                    )
                known.answers = False
            except NotFoundError:
                known.repaired_again_at = 0.0
                known.repeated.info("empty", "nothing is copied into the account of %s yet", region)
            except (NatsError, SluicewayError, TimeoutError) as error:
                # Not by its text, which the leaf node may have chosen.
                known.repeated.warning(
                    type(error).__name__, "cannot keep the leaf node of %s: %s", region, error_text(error)
                )
            except Exception as error:  # whatever it makes of a hostile answer, the other regions go on
                kind = type(error).__name__
                known.repeated.error(kind, "internal error: the leaf node of %s: %s: %s", region, kind, error)

    async def _keep(self, known: _Leaf) -> None:
        loop, leaf = asyncio.get_running_loop(), known.leaf
        # Again whenever the hub or the leaf node was away: then either may have been restored.
        compared, known.compared_after = known.compared_after, None
        reconnects = self._connection.client.stats["reconnects"]
        problems = await leaf.problems()
        is_compared = compared == reconnects
        if not problems and not is_compared:
            is_compared, other_keys = await leaf.compare_keys()
            problems = [other_keys] if other_keys else []
        if not known.answers:
            log.info("the leaf node of %s answers", leaf.region)
        known.answers = True
        if not problems:
            if is_compared:
                known.compared_after = reconnects
                known.pause.reset()
        elif loop.time() >= known.repaired_again_at:
            known.repaired_again_at = loop.time() + known.pause.next_seconds()
            for problem in problems:
                self._log_repair(known, problem)
                await leaf.repair(problem)

    def _log_repair(self, known: _Leaf, problem: CopyProblem) -> None:
        """Log what is repaired, as a warning if it replaces something. Once a minute if it does not help."""
        write = known.repeated.warning if problem.found else known.repeated.info
        write(
            (problem.copy, problem.why),
            "copying %s to the leaf node of %s: %s",
            problem.copy,
            known.leaf.region,
            problem.why,
        )
