"""An export of the audit log is complete, or its reader sees that it is not."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from services.console.audit import AuditEntry, AuditQuery
from sluiceway.errors import Unavailable
from tests.integration.console.conftest import Served


async def test_an_export_that_fails_midway_ends_its_connection_and_is_logged_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two"):
        await served.driver.save_gate(name)
    await served.console.backend.features.catch_up()
    audit = served.console.backend.audit
    export = audit.export

    async def fail_midway(query: AuditQuery) -> AsyncIterator[AuditEntry]:
        async for entry in export(query):
            yield entry
            raise Unavailable("the broker is away")

    monkeypatch.setattr(audit, "export", fail_midway)

    with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
        await served.console.admin.get("/api/v1/audit/export")

    warnings = [record.getMessage() for record in caplog.records if "broker is away" in record.getMessage()]
    assert warnings == ["an export ends before its last line: the broker is away"]
    assert not [record for record in caplog.records if record.exc_info]
