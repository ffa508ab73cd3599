"""The whole system as a user runs it: `up`, the command line, `system.json`, the pages, the demo."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

from sluiceway.contracts.commands import SaveRegion
from sluiceway.contracts.feature import TriggerStatus
from tests.support.catalogues import region
from tests.support.cli.calls import Cli
from tests.support.expressions import expressions, selectors
from tests.support.local import ROOT, LocalSystem, edges_of, is_running, local_system
from tests.support.system import driving
from tests.support.waiting import eventually

CHANGE = "deploy/examples/changes/new_checkout.yaml"
EDGES = {f"edge-{name}" for name in ("dev", "staging", "prod-us-west", "prod-us-east", "prod-eu")}


async def test_a_release_through_the_command_line_reaches_every_region_and_an_alert_takes_the_next_back(
    tmp_path: Path,
) -> None:
    async with local_system(tmp_path, "--scale", "scheduler=2") as system:
        cli = Cli(system.nats_url)
        assert set(system.processes()) == {
            "broker", "scheduler", "scheduler-2", "evaluator_publisher", "monitor", "console", *EDGES,
        }  # fmt: skip

        dry = await cli.succeeds("apply", "-f", CHANGE, "--dry-run")
        applied = await cli.succeeds("apply", "-f", CHANGE, "--json")

        assert "would start" in dry.out
        trigger = applied.json[0]["trigger"]
        assert trigger == "gate.new_checkout.1"
        async with driving(system.nats_url) as driver:
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "prod-us-west")
            assert await _passes(cli, "staging")
            assert not await _passes(cli, "prod-eu")
            refused = await cli.refused("trigger", "pause", trigger)
            assert "possible now: approve" in refused.line
            await cli.succeeds("trigger", "approve", trigger, "--reason", "looks good")
            await cli.succeeds("trigger", "rollout", trigger)
            await eventually(lambda: _passes(cli, "prod-eu"), "prod-eu has it")

            again = await cli.succeeds("apply", "-f", CHANGE)
            assert "unchanged" in again.out
            limits = await cli.succeeds(
                "apply", "-f", "deploy/examples/changes/checkout_limits.yaml", "--json"
            )
            second = limits.json[0]["trigger"]
            await cli.succeeds("alert", "fire", "Boom", "--label", "dynamic_config=checkout_limits")
            await driver.reaches(second, TriggerStatus.ROLLED_BACK)
            last = (await cli.succeeds("trigger", "log", second, "--json")).json[-1]
            assert (last["type"], last["actorID"]) == ("trigger_rolled_back", "monitor")
            assert "Boom" in last["reason"]
        exported = "".join([await _pages(str(p["http"])) for p in system.processes().values() if p["http"]])
        asked = {one.metric for expression in expressions() for one in selectors(expression.text)}
        families = {name.removesuffix("_bucket") for name in asked if name.startswith("sluiceway_")}
        assert [name for name in families if f"# TYPE {name} " not in exported] == []
    assert await system.stop() == 0


async def test_what_was_saved_and_what_is_killed_comes_back_and_without_restart_stays_down(
    tmp_path: Path,
) -> None:
    async with local_system(tmp_path, *edges_of("dev")) as system:
        await _an_edge_comes_with_its_region(system)
        await _is_started_again(system, "monitor")
        pids = _pids(system)
    assert await system.stop() == 0
    assert not any(map(is_running, pids))

    async with local_system(tmp_path, "--no-restart", *edges_of("dev")) as system:
        assert "edge-prod-asia" in system.processes()
        gates = await Cli(system.nats_url).succeeds("get", "gates", "--json")
        assert [gate["name"] for gate in gates.json] == ["dark_mode", "new_checkout"]
        await _stays_down(system, "monitor")
        pids = _pids(system)

        await system.stop(signal.SIGKILL)

        await eventually(lambda: not any(map(is_running, pids)), "nothing survives a killed supervisor")


async def test_wrong_usage_is_an_error_on_one_line(tmp_path: Path) -> None:
    nowhere = "nats://127.0.0.1:1"
    calls = {
        "no NATS broker answers": [
            sys.executable,
            "-m",
            "sluiceway.cli.main",
            "get",
            "gates",
            "--nats-url",
            nowhere,
        ],
        "unknown process": [sys.executable, "-m", "services.local", "up", "--scale", "nonsense=2"],
        "no NATS broker": [sys.executable, "-m", "services.local", "up", "--nats-url", nowhere],
    }
    for expected, call in calls.items():
        process = await asyncio.create_subprocess_exec(
            *call, cwd=ROOT, env={**os.environ, "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, error = await process.communicate()

        assert process.returncode == 1
        assert expected in error.decode()
        assert error.decode().count("\n") == 1


async def test_the_demo_completes_one_release_rolls_another_back_and_draws_both(tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "release.svg"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.local", "demo", "--json", "--picture", str(picture)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()

    assert process.returncode == 0, error.decode()
    result = json.loads(out.decode().splitlines()[-1])
    first, second = result["releases"]
    assert (first["outcome"], second["outcome"]) == ("completed", "rolled_back")
    assert [phase["phase"] for phase in first["phases"]] == [
        "development", "staging", "prod-us-west", "prod-us-east", "prod-eu",
    ]  # fmt: skip
    assert [list(phase["regions"]) for phase in first["phases"]] == [
        ["dev"], ["staging"], ["prod-us-west"], ["prod-us-east"], ["prod-eu"],
    ]  # fmt: skip
    assert result["rollback_ms"] > 0
    drawing = picture.read_text()
    for words in ("new_checkout", "checkout_limits", "alert CheckoutErrorsHigh", "rolled back by monitor"):
        assert words in drawing
    assert f"drawn: {picture}" in error.decode().replace("\n", " ")


async def _an_edge_comes_with_its_region(system: LocalSystem) -> None:
    async with driving(system.nats_url) as driver:
        await driver.accepted(SaveRegion, region=region("prod-asia", "production"))
    await eventually(lambda: "edge-prod-asia" in system.processes(), "the new region has an edge")


async def _is_started_again(system: LocalSystem, name: str) -> None:
    before = system.processes()[name]

    system.kill(name)

    await eventually(lambda: system.processes()[name]["pid"] not in (None, before["pid"]), "it runs again")
    await eventually(lambda: system.processes()[name]["http"] == before["http"], "where it was")


async def _stays_down(system: LocalSystem, name: str) -> None:
    system.kill(name)

    await eventually(lambda: system.processes()[name]["pid"] is None, "its death is told")
    await eventually(lambda: any("is not restarted" in line for line in system.output), "the user is told")


def _pids(system: LocalSystem) -> list[int]:
    return [process["pid"] for process in system.processes().values() if process["pid"]]


async def _passes(cli: Cli, where: str) -> bool:
    found = await cli.succeeds("check", "new_checkout", "--region", where, "--json")
    return bool(found.json["value"])


async def _pages(http: str) -> str:
    """Return the metrics of a process that says that it is well."""
    for page in ("healthz", "readyz"):
        await asyncio.to_thread(_page, f"{http}/{page}")
    return await asyncio.to_thread(_page, f"{http}/metrics")


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())
