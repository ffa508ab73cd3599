"""The running system on a broker that authenticates who sends what, with the configuration that we write."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.local.broker import EmbeddedBroker
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway import console_keys
from sluiceway.cli.broker_accounts import BrokerAccount, broker_accounts
from sluiceway.cli.broker_file import broker_config
from sluiceway.cli.broker_sign_in import password_variable, sign_in_by_passwords
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identity import ApiKey, Grant, Identity, Role
from sluiceway.contracts.replies import Reply
from sluiceway.messaging.connection import connected
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.service import Service
from sluiceway.settings import BrokerSettings, ServiceSettings

from .catalogues import REGIONS, apply_catalogue, phase
from .processes import service_process
from .system import Driver
from .waiting import eventually

#: The id in the configuration's example of a person.
PERSON = "3f9a11c2"
#: The id of the first key, whose command line is an operator's.
OPERATOR = "bootstrap"
HOUR = 3_600_000
ROOT = Identity(name="root", grants=(Grant(role=Role.ADMIN),), vouched_by="root")


class Secured:
    """The running system on such a broker."""

    def __init__(self, broker: EmbeddedBroker, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._stack = stack
        self.services: list[Service] = []

    @property
    def any_url(self) -> str:
        """The address of the broker, without a user."""
        return self.broker.url

    def url(self, user: str, password: str) -> str:
        return self.broker.url.replace("nats://", f"nats://{user}:{password}@")

    async def driver(self, user: str, password: str) -> Driver:
        """Return somebody who sends commands with the credentials of a user."""
        settings = BrokerSettings(nats_url=self.url(user, password), principal=user)
        return Driver(await self._stack.enter_async_context(connected(settings, user)))

    async def person(
        self,
        *roles: Role,
        id_: str = PERSON,
        owner: str = "bea",
        groups: Sequence[str] = (),
        expires_ms: int | None = None,
    ) -> Driver:
        """Return a person who has a key with these roles."""
        await self.create_person(*roles, id_=id_, owner=owner, groups=groups, expires_ms=expires_ms)
        return await self.driver(id_, "person")

    async def create_person(
        self,
        *roles: Role,
        id_: str,
        owner: str,
        groups: Sequence[str] = (),
        expires_ms: int | None = None,
    ) -> None:
        """Create the key of a person."""
        key = ApiKey(
            id=id_,
            owner=owner,
            groups=tuple(groups),
            grants=tuple(Grant(role=role) for role in roles),
            hash=console_keys.hash_of("any"),
            created_ms=0,
            expires_ms=expires_ms,
        )
        await (await self.admin()).saved(CreateKey, key=key.to_jsonable())

    async def greets(self, **credentials: str) -> bytes:
        """Return what the broker answers to somebody who connects with these credentials."""
        host, port = self.broker.url.removeprefix("nats://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.readline()
        options = {"verbose": True, "pedantic": False, **credentials}
        writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    async def stream_admin(self) -> Driver:
        """Return who may look at every stream, and change it."""
        return await self.driver("jetstream_admin", "jetstream_admin")

    async def admin(self, name: str = ROOT.name) -> "Vouched":
        """Return the console, acting for an admin who also starts releases."""
        driver = await self.driver("console", "console")
        return Vouched(driver.connection, ROOT.model_copy(update={"name": name}))


class Vouched(Driver):
    """The console's own connection, with somebody whom it vouches for."""

    def __init__(self, connection: Any, identity: Identity) -> None:
        super().__init__(connection)
        self._identity = identity

    async def send(self, model: Any, **fields: Any) -> Reply:
        return await super().send(model, identity=self._identity, **fields)


@asynccontextmanager
async def secured_system(
    folder: Path,
    *,
    people: Sequence[str] = (PERSON,),
    are_processes: bool = False,
    rules_streams: int | None = None,
) -> AsyncIterator[Secured]:
    """Run a broker and every service but the edges; `people` are the ids of keys that the broker knows.

    `are_processes`: scheduler, publisher and monitor are processes of their own, without a console.
    """
    config = folder / "secured.conf"
    write_secured_config(config, people, rules_streams)
    with pytest.MonkeyPatch.context() as environment:
        for account in accounts(people):
            for user in account.users:
                environment.setenv(password_variable(user.name), password_of(user.name, people))
        environment.setenv("STORE_DIR", str(folder / "streams"))
        with EmbeddedBroker(folder / "broker", config=config) as broker:
            async with AsyncExitStack() as stack:
                system = Secured(broker, stack)
                if are_processes:
                    await _start_processes(folder, system, stack, rules_streams)
                else:
                    for service in services_of(folder, system, rules_streams):
                        system.services.append(await stack.enter_async_context(service))
                await apply_catalogue(await system.admin(), phase("dev", review=True, bake_ms=HOUR))
                yield system


def write_secured_config(
    file: Path, people: Sequence[str] = (PERSON,), rules_streams: int | None = None
) -> None:
    """Write the configuration of such a broker."""
    written = accounts(people, rules_streams)
    file.write_text(broker_config(written, sign_in_by_passwords(written)))


def accounts(people: Sequence[str], rules_streams: int | None = None) -> list[BrokerAccount]:
    """Return the accounts for the regions of the test catalogue and these ids of keys."""
    return broker_accounts(
        list(REGIONS), people, ["pager"], RulesStreams(rules_streams or 1), operators=[OPERATOR]
    )


def password_of(user: str, people: Sequence[str] = ()) -> str:
    """Return the password of a user in tests."""
    if user in people:
        return "person"
    return {"evaluator_publisher": "publisher"}.get(user, "edge" if user.startswith("edge-") else user)


def services_of(folder: Path, system: Secured, rules_streams: int | None = None) -> tuple[Service, ...]:
    """Return every service but the edges, each as its own user."""
    url, key_file = system.url, folder / "console.key"
    return (
        Scheduler(scheduler_settings(system, rules_streams)),
        EvaluatorPublisher(ServiceSettings(nats_url=url("evaluator_publisher", "publisher"))),
        Monitor(MonitorSettings(nats_url=url("monitor", "monitor"))),
        Console(ConsoleSettings(nats_url=url("console", "console"), bootstrap_key_file=key_file)),
    )


def scheduler_settings(system: Secured, rules_streams: int | None = None) -> SchedulerSettings:
    """Return the settings of the scheduler of such a system."""
    return SchedulerSettings(
        nats_url=system.url("scheduler", "scheduler"),
        require_identity=True,
        region_accounts=True,
        rules_streams=rules_streams,
    )


async def _start_processes(
    folder: Path, system: Secured, stack: AsyncExitStack, rules_streams: int | None
) -> None:
    settings = {
        "REQUIRE_IDENTITY": "true",
        "REGION_ACCOUNTS": "true",
        "RULES_STREAMS": str(rules_streams or ""),
    }
    for name, password in (
        ("scheduler", "scheduler"),
        ("evaluator_publisher", "publisher"),
        ("monitor", "monitor"),
    ):
        url = system.url(name, password)
        process = await stack.enter_async_context(
            service_process(folder, f"services.{name}", url, **settings)
        )
        await eventually(process.is_ready, f"{name} is ready")


@asynccontextmanager
async def raw(secured: Secured, user: str, password: str) -> AsyncIterator[Any]:
    """Give a bare connection of a user, and what the broker complained about."""
    complaints: list[str] = []

    async def note(error: Exception) -> None:
        complaints.append(str(error))

    settings = BrokerSettings(nats_url=secured.url(user, password), principal=user)
    async with connected(settings, user, error_cb=note) as connection:
        yield connection, complaints
