"""A small catalogue over NATS: three environments, five regions, a pipeline through all of them."""

from typing import Any

from sluiceway.contracts.commands import SaveEnvironment, SavePipeline, SaveRegion

from .system import Driver

#: Region → environment. The attribute `region` is the name without `prod-`.
REGIONS = {
    "dev": "development",
    "staging": "staging",
    "prod-us-west": "production",
    "prod-us-east": "production",
    "prod-eu": "production",
}
PIPELINE = "prod-release"


def region(name: str, environment: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "environment": environment or REGIONS[name],
        "attributes": {"region": name.removeprefix("prod-")},
    }


def phase(name: str, *, bake_ms: int = 50, review: bool = False, **fields: Any) -> dict[str, Any]:
    """Return the phase that covers the region of the same name."""
    where = [
        {
            "type": "custom_field",
            "field": "region",
            "operator": "any",
            "targetValue": [name.removeprefix("prod-")],
        }
    ]
    rule = {"name": name, "environments": [REGIONS[name]], "conditions": where}
    return {"name": name, "timeIntervalMs": bake_ms, "requiredReview": review, "rules": [rule], **fields}


def pipeline(*phases: dict[str, Any], name: str = PIPELINE, **fields: Any) -> dict[str, Any]:
    return {**fields, "name": name, "phases": list(phases) or [phase(region_name) for region_name in REGIONS]}


async def apply_catalogue(driver: Driver, *phases: dict[str, Any], **fields: Any) -> None:
    """Save environments, regions and the pipeline."""
    for environment in dict.fromkeys(REGIONS.values()):
        await driver.saved(SaveEnvironment, environment={"name": environment})
    for name in REGIONS:
        await driver.saved(SaveRegion, region=region(name))
    await driver.saved(SavePipeline, pipeline=pipeline(*phases, **fields))
