"""The unmodified official SDK, pointed at an edge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

statsig = pytest.importorskip("statsig_python_core")


@asynccontextmanager
async def official_sdk(edge: str, key: str, **options: Any) -> AsyncIterator[Any]:
    """Run the SDK while the block does; `options` are more of its own."""
    sdk = await asyncio.to_thread(_start, edge, key, options)
    try:
        yield sdk
    finally:
        await asyncio.to_thread(_stop, sdk)


def passes(sdk: Any, gate: str, **custom: str) -> bool:
    """Say whether ada passes a gate."""
    return bool(sdk.check_gate(statsig.StatsigUser("ada", custom=custom), gate))


def _start(edge: str, key: str, more: dict[str, Any]) -> Any:
    options = statsig.StatsigOptions(
        specs_url=f"{edge}/v2/download_config_specs",
        log_event_url=f"{edge}/v1/log_event",
        id_lists_url=f"{edge}/v1/get_id_lists",
        specs_sync_interval_ms=1000,
        disable_country_lookup=True,
        output_log_level="none",
        **more,
    )
    sdk = statsig.Statsig(key, options)
    sdk.initialize().wait()
    return sdk


def _stop(sdk: Any) -> None:
    sdk.shutdown().wait()
