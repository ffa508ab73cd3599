"""A payload of many blocks, read by those who are not our own."""

import shutil
import subprocess
from pathlib import Path

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
