"""The system that is attacked: a broker with users and permissions, and a release that waits for review."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.secured import Secured, secured_system
from tests.support.system import EVERYONE

from .roles import PEOPLE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """One system for all attacks of a file; each person of `roles` has a key."""
    folder, people = tmp_path_factory.mktemp("hostile"), [role.user for role in PEOPLE.values()]
    async with secured_system(folder, people=people) as system:
        for name, role in PEOPLE.items():
            assert role.granted
            await system.create_person(role.granted, id_=role.user, owner=name)
        admin = await system.admin()
        await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        yield system
