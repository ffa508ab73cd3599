"""Commands while the broker that leads FEATURES dies or freezes: answered, not refused, and stored once."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.messaging import command_client
from sluiceway.messaging.stall_retries import StallRetries
from tests.support.clusters import Cluster, ClusterServer, cluster
from tests.support.system import Driver, driving
from tests.support.waiting import eventually

SENDERS = 8
#: Of each sender, before the leader goes and after the next one has answered.
COMMANDS = 3
#: For an election, and for as many replies after it.
ELECTED_SECONDS = 60.0
BOUND_SECONDS = 2 * ELECTED_SECONDS


def kill(server: ClusterServer) -> None:
    server.kill()


def freeze(server: ClusterServer) -> None:
    server.pause()


class Sender:
    """Sends commands one after the other, and keeps the replies."""

    def __init__(self, driver: Driver, number: int) -> None:
        self.replies: dict[str, Reply] = {}
        self.has_to_end = False
        self._driver = driver
        self._number = number

    async def run(self) -> None:
        while not self.has_to_end:
            name = f"gate-{self._number}-{len(self.replies)}"
            document = {"kind": "FeatureGate", "name": name}
            self.replies[name] = await self._driver.send(SaveFeature, id=name, feature=document)


@pytest.mark.parametrize("stop", [kill, freeze])
async def test_no_command_is_refused_lost_or_stored_twice_while_a_leader_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Callable[[ClusterServer], None]
) -> None:
    """On a machine that does much else, an election may take longer than the 15 s that senders wait."""
    monkeypatch.setattr(command_client, "StallRetries", partial(StallRetries, ELECTED_SECONDS))
    async with cluster(tmp_path) as running, AsyncExitStack() as stack:
        await stack.enter_async_context(Scheduler(Settings(nats_url=running.url, stream_replicas=3)))
        leader = await running.leader(subjects.FEATURES_STREAM)
        # Who is connected to a frozen broker notices that after some seconds more, as `docs/faults.md` says.
        others = ",".join(server.url for server in running.others(leader.name))
        await stack.enter_async_context(Scheduler(Settings(nats_url=others, stream_replicas=3)))
        driver = await stack.enter_async_context(driving(others))
        senders = [Sender(driver, number) for number in range(SENDERS)]
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.run())
            await answered(senders, COMMANDS)

            stop(leader)

            known = max(len(sender.replies) for sender in senders)
            await answered(senders, known + COMMANDS)
            for sender in senders:
                sender.has_to_end = True

        replies = {name: reply for sender in senders for name, reply in sender.replies.items()}
        assert {name: reply.refusal for name, reply in replies.items() if reply.refusal} == {}
        assert await stored(running, driver) == dict.fromkeys(replies, 1)
        assert Counter(reply.outcome for reply in replies.values())[Outcome.ACCEPTED] > len(replies) / 2


async def answered(senders: list[Sender], count: int) -> None:
    await eventually(lambda: all(len(s.replies) >= count for s in senders), f"{count} replies", BOUND_SECONDS)


async def stored(running: Cluster, driver: Driver) -> dict[str, int]:
    """Return how many events each command has led to, as the leader has them."""
    info = await driver.connection.js.stream_info(subjects.FEATURES_STREAM)
    messages = [
        await driver.connection.js.get_msg(subjects.FEATURES_STREAM, sequence)
        for sequence in range(1, info.state.last_seq + 1)
    ]
    return Counter(str(message.subject).rsplit(".", 1)[1] for message in messages)
