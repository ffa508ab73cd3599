"""`/console/v1/dynamic_configs`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import JsonValue

from sluiceway.contracts.feature import ConfigRule
from sluiceway.contracts.identifiers import NAME_PATTERN, FeatureKind, Name

from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from .bodies import ConfigChange, ConfigRuleBody, ConfigUpdate, NewConfig, name_of, rule_of
from .feature_resource import FeatureResource, OfficialFeature, index_of
from .responses import Listed, Single

router = APIRouter(tags=["dynamic configs"])

Id = Annotated[str, Path(pattern=NAME_PATTERN, description="The config's name.")]
RuleId = Annotated[str, Path(min_length=1, max_length=100, description="The rule's id, or its name.")]


class OfficialConfig(OfficialFeature):
    """A dynamic config: what is live of it."""

    rules: list[ConfigRule]
    default_value: JsonValue


def _configs(backend: Backend, caller: Caller) -> FeatureResource[OfficialConfig]:
    return FeatureResource(FeatureKind.DYNAMIC_CONFIG, "Dynamic config", OfficialConfig, backend, caller)


Configs = Annotated[FeatureResource[OfficialConfig], Depends(_configs)]


@router.get("/dynamic_configs", responses=READING)
async def list_configs(
    request: Request,
    configs: Configs,
    pipeline: Annotated[Name | None, Query(alias="releasePipelineID")] = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> Listed[OfficialConfig]:
    """List dynamic configs, by name."""
    return await configs.listed(request, pipeline, limit, page)


@router.post("/dynamic_configs", status_code=201, responses=CHANGING)
async def create_config(body: NewConfig, configs: Configs, command_id: CommandId) -> Single[OfficialConfig]:
    """Create a config. With a pipeline, its release starts. Needs the role editor."""
    return await configs.created(name_of(body), body, command_id)


@router.get("/dynamic_configs/{id}", responses=READING_ONE)
async def get_config(id: Id, configs: Configs) -> Single[OfficialConfig]:
    """Show a config."""
    return await configs.one(id)


@router.post("/dynamic_configs/{id}", responses=CHANGING)
async def update_config(
    id: Id,
    body: ConfigUpdate,
    configs: Configs,
    command_id: CommandId,
) -> Single[OfficialConfig]:
    """Write a config as a whole. With a pipeline, a release starts; refused (409) while one is under way."""
    return await configs.replaced(id, body, command_id)


@router.patch("/dynamic_configs/{id}", responses=CHANGING)
async def change_config(
    id: Id,
    body: ConfigChange,
    configs: Configs,
    command_id: CommandId,
) -> Single[OfficialConfig]:
    """Change what is named. Attaching a pipeline alone starts no release."""
    return await configs.changed(id, body, command_id)


@router.patch("/dynamic_configs/{id}/rule/{ruleId}", responses=CHANGING)
async def replace_rule(
    id: Id,
    ruleId: RuleId,  # noqa: N803
    body: ConfigRuleBody,
    configs: Configs,
    command_id: CommandId,
) -> Single[OfficialConfig]:
    """Put a rule in place of another; it keeps that one's id, so that whoever is in stays in."""
    said = rule_of(body.model_dump(mode="json", exclude_unset=True))

    def change(rules: list[dict[str, object]]) -> list[dict[str, object]]:
        place = index_of(rules, ruleId)
        kept = rules[place].get("id") or rules[place]["name"]
        return [*rules[:place], {"id": kept, **said}, *rules[place + 1 :]]

    return await configs.with_rules(id, command_id, change)


@router.delete("/dynamic_configs/{id}/rule/{ruleId}", responses=CHANGING)
async def delete_rule(
    id: Id,
    ruleId: RuleId,  # noqa: N803
    configs: Configs,
    command_id: CommandId,
) -> Single[OfficialConfig]:
    """Take a rule away."""

    def change(rules: list[dict[str, object]]) -> list[dict[str, object]]:
        place = index_of(rules, ruleId)
        return [*rules[:place], *rules[place + 1 :]]

    return await configs.with_rules(id, command_id, change)


@router.put("/dynamic_configs/{id}/enable", responses=CHANGING)
async def enable(id: Id, configs: Configs, command_id: CommandId) -> Single[OfficialConfig]:
    """Switch a config on; with a pipeline, its release starts."""
    return await configs.switched(id, command_id, on=True)


@router.put("/dynamic_configs/{id}/disable", responses=CHANGING)
async def disable(id: Id, configs: Configs, command_id: CommandId) -> Single[OfficialConfig]:
    """Switch a config off, everywhere at once. With a pipeline, needs the role operator as well."""
    return await configs.switched(id, command_id, on=False)


@router.put("/dynamic_configs/{id}/archive", responses=CHANGING)
async def archive(id: Id, configs: Configs, command_id: CommandId) -> Single[OfficialConfig]:
    """Take a config out of every region, at once. With a pipeline, needs the role operator as well."""
    return await configs.archived(id, command_id)


@router.put("/dynamic_configs/{id}/unarchive", responses=CHANGING)
async def unarchive(id: Id, configs: Configs, command_id: CommandId) -> Single[OfficialConfig]:
    """Bring a config back; with a pipeline, its release starts."""
    return await configs.unarchived(id, command_id)
