"""The system that is attacked: a broker with users and permissions, and a release that waits for review."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from sluiceway.contracts.identity import Role
from tests.support.secured import Secured, secured_system
from tests.support.system import EVERYONE

from .roles import PEOPLE

#: The key of an operator who attacks nobody.
ONCALL = "key-oncall"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """One system for all attacks of a file; each person of `roles` has a key."""
    async with hostile_system(tmp_path_factory.mktemp("hostile")) as system:
        yield system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def separate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """The same, with each service as a process of its own."""
    async with hostile_system(tmp_path_factory.mktemp("separate"), are_processes=True) as system:
        yield system


@asynccontextmanager
async def hostile_system(folder: Path, *, are_processes: bool = False) -> AsyncIterator[Secured]:
    people = [ONCALL, *(role.user for role in PEOPLE.values())]
    async with secured_system(folder, people=people, are_processes=are_processes) as system:
        for name, role in PEOPLE.items():
            assert role.granted
            await system.create_person(role.granted, id_=role.user, owner=name)
        await system.create_person(Role.OPERATOR, id_=ONCALL, owner="oncall")
        admin = await system.admin()
        await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        yield system
