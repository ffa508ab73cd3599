"""Which streams lack a leader, or a replica that has what the leader has.

A broker that was started says that it is healthy before the others know its replicas to be current. One that
goes down then takes the quorum of a stream with it.
"""

import asyncio
from collections.abc import Sequence

import httpx2
from pydantic import BaseModel

from .processes import HostProcess

#: For the answer of one broker.
ANSWER_SECONDS = 4.0


class Replica(BaseModel):
    """A replica, as the leader of its stream sees it."""

    current: bool


class Group(BaseModel):
    """The replicas of a stream, without the broker that is asked."""

    leader: str = ""
    replicas: tuple[Replica, ...] = ()


class Stream(BaseModel):
    name: str
    cluster: Group = Group()


class Account(BaseModel):
    stream_detail: tuple[Stream, ...] = ()


class BrokerReport(BaseModel):
    """What is read of the page `/jsz?streams=true` of a broker."""

    server_name: str = ""
    account_details: tuple[Account, ...] = ()

    @property
    def streams(self) -> list[Stream]:
        return [stream for account in self.account_details for stream in account.stream_detail]


def incomplete_streams(reports: Sequence[BrokerReport], replicas: int) -> list[str]:
    """Return the streams whose leader does not see so many replicas that are current, its own included."""
    names = {stream.name for report in reports for stream in report.streams}
    complete = {
        stream.name
        for report in reports
        for stream in report.streams
        if stream.cluster.leader == report.server_name
        and 1 + sum(replica.current for replica in stream.cluster.replicas) >= replicas
    }
    return sorted(names - complete)


async def ask_brokers(brokers: Sequence[HostProcess], http: httpx2.AsyncClient) -> list[BrokerReport]:
    """Return the reports of the brokers that answer."""
    reports = await asyncio.gather(*(_ask(broker, http) for broker in brokers))
    return [report for report in reports if report]


async def _ask(broker: HostProcess, http: httpx2.AsyncClient) -> BrokerReport | None:
    url = broker.health.replace("/healthz", "/jsz?streams=true")
    try:
        answer = await http.get(url, timeout=ANSWER_SECONDS)
    except httpx2.HTTPError:
        return None
    report = BrokerReport.model_validate_json(answer.content)
    return report.model_copy(update={"server_name": broker.name})
