"""The newest event of a feature is invalid when the console starts: its pages show the event before it."""

from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.support.consoles import running_console
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually

PATHS = ("/console/v1/gates/one", "/console/v1/gates")


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_of_a_feature_with_an_invalid_body_is_there_after_another_request(
    broker: Broker, tmp_path: Path, path: str
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await driver.save_gate("one", EVERYONE)
        await driver.store_invalid_body("one")
        async with running_console(broker.url, tmp_path) as console:
            statuses = [(await console.admin.get(path)).status_code]

            async def is_there() -> bool:
                statuses.append((await console.admin.get(path)).status_code)
                return statuses[-1] == 200

            await eventually(is_there, "the event before is read")

            assert statuses[0] == 503
            assert set(statuses) == {503, 200}
