"""A payload of many blocks, read by those who are not our own, and by those who do not read."""

import asyncio
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.edge.text_blocks import BLOCK_MEMBERS
from sluiceway import sdk_keys
from tests.support.edges import edge_from_disk, gate_document, gate_record
from tests.support.waiting import eventually

GATES = [f"gate{n:05}" for n in range(5 * BLOCK_MEMBERS)]


async def test_the_official_sdk_reads_a_payload_of_many_blocks_and_its_changes(tmp_path: Path) -> None:
    official = pytest.importorskip("tests.support.official")
    key = sdk_keys.mint()
    async with (
        edge_from_disk(tmp_path, key, map(gate_document, GATES)) as edge,
        official.official_sdk(edge.url, key) as sdk,
    ):
        first = [official.passes(sdk, gate) for gate in GATES]

        nobody = gate_record(GATES[700], 2, feature_gates={})
        edge.edge.rules.apply(nobody, "created", is_live=True)
        await eventually(lambda: not official.passes(sdk, GATES[700]), "the SDK has the change")
        after = [official.passes(sdk, gate) for gate in GATES]

    assert all(first)
    assert [gate for gate, has_it in zip(GATES, after, strict=True) if not has_it] == [GATES[700]]


async def test_the_gzip_program_accepts_a_payload_of_many_blocks(tmp_path: Path) -> None:
    if not (program := shutil.which("gzip")):
        pytest.skip("needs gzip")
    key = sdk_keys.mint()
    async with edge_from_disk(tmp_path, key, map(gate_document, GATES)) as edge:
        payload = edge.edge.feed.latest()
        assert payload
        packed = await payload.specs.compressed()

    unpacked = subprocess.run([program, "-dc"], input=packed, capture_output=True, check=False)  # noqa: ASYNC221

    assert (unpacked.returncode, unpacked.stderr) == (0, b"")
    assert unpacked.stdout == payload.specs.text


async def test_clients_that_do_not_read_cost_those_who_do_nothing(tmp_path: Path) -> None:
    """They have asked for everything in plain text, twice, and never read."""
    key, slow_clients, polls = sdk_keys.mint(), 50, 20
    path = "/v2/download_config_specs"
    async with edge_from_disk(tmp_path, key, map(gate_document, GATES)) as edge:
        with ExitStack() as held:
            ask = f"GET {path} HTTP/1.1\r\nHost: x\r\nstatsig-api-key: {key}\r\n\r\n".encode()
            for _ in range(slow_clients):
                slow = held.enter_context(socket.socket())
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                slow.connect(("127.0.0.1", urlsplit(edge.url).port))
                slow.send(2 * ask)
            feed = edge.edge.feed
            for revision in range(2, 5):
                known = feed.latest()
                assert known
                query = {"sinceTime": str(known.time), "checksum": known.checksum}
                polling = [
                    asyncio.create_task(
                        edge.http.get(path, params=query, headers={"accept-encoding": "gzip"})
                    )
                    for _ in range(polls)
                ]
                await eventually(lambda: len(feed._waiters) == polls, "all polls are held")
                edge.edge.rules.apply(gate_record(GATES[0], revision), "created", is_live=True)
                answers = await asyncio.gather(*polling)

                versions = {answer.json()["feature_gates"][GATES[0]]["version"] for answer in answers}
                assert versions == {revision}
