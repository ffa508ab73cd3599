"""`/console/v1/gates`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from sluiceway.contracts.feature import GateRule
from sluiceway.contracts.identifiers import NAME_PATTERN, FeatureKind, Name

from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from .bodies import GateChange, GateRuleBody, GateRulesBody, GateUpdate, NewGate, name_of, rule_of
from .feature_resource import FeatureResource, OfficialFeature, index_of
from .responses import Listed, Single

router = APIRouter(tags=["gates"])

Id = Annotated[str, Path(pattern=NAME_PATTERN, description="The gate's name.")]
RuleId = Annotated[str, Path(min_length=1, max_length=100, description="The rule's id, or its name.")]


class OfficialGate(OfficialFeature):
    """A gate: what is live of it."""

    rules: list[GateRule]


def _gates(backend: Backend, caller: Caller) -> FeatureResource[OfficialGate]:
    return FeatureResource(FeatureKind.GATE, "Gate", OfficialGate, backend, caller)


Gates = Annotated[FeatureResource[OfficialGate], Depends(_gates)]


@router.get("/gates", responses=READING)
async def list_gates(
    request: Request,
    gates: Gates,
    pipeline: Annotated[Name | None, Query(alias="releasePipelineID")] = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> Listed[OfficialGate]:
    """List gates, by name."""
    return await gates.listed(request, pipeline, limit, page)


@router.post("/gates", status_code=201, responses=CHANGING)
async def create_gate(body: NewGate, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Create a gate. With a pipeline, its release starts. Needs the role editor."""
    return await gates.created(name_of(body), body, command_id)


@router.get("/gates/{id}", responses=READING_ONE)
async def get_gate(id: Id, gates: Gates) -> Single[OfficialGate]:
    """Show a gate."""
    return await gates.one(id)


@router.post("/gates/{id}", responses=CHANGING)
async def update_gate(
    id: Id,
    body: GateUpdate,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Write a gate as a whole. With a pipeline, its release starts; refused while one is under way (409)."""
    return await gates.replaced(id, body, command_id)


@router.patch("/gates/{id}", responses=CHANGING)
async def change_gate(
    id: Id,
    body: GateChange,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Change what is named. Attaching a pipeline alone starts no release."""
    return await gates.changed(id, body, command_id)


@router.post("/gates/{id}/rule", responses=CHANGING)
async def add_rule(
    id: Id,
    body: GateRuleBody,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Add a rule behind the others."""
    rule = rule_of(body.model_dump(mode="json", exclude_unset=True))
    return await gates.with_rules(id, command_id, lambda rules: [*rules, rule])


@router.post("/gates/{id}/rules", responses=CHANGING)
async def add_rules(
    id: Id,
    body: GateRulesBody,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Add rules behind the others."""
    more = [rule_of(rule.model_dump(mode="json", exclude_unset=True)) for rule in body.rules]
    return await gates.with_rules(id, command_id, lambda rules: [*rules, *more])


@router.patch("/gates/{id}/rules", responses=CHANGING)
async def replace_rules(
    id: Id,
    body: GateRulesBody,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Put these rules in place of all there are."""
    new = [rule_of(rule.model_dump(mode="json", exclude_unset=True)) for rule in body.rules]
    return await gates.with_rules(id, command_id, lambda rules: new)


@router.patch("/gates/{id}/rules/{ruleID}", responses=CHANGING)
async def replace_rule(
    id: Id,
    ruleID: RuleId,  # noqa: N803
    body: GateRuleBody,
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Put a rule in place of another; it keeps that one's id, so that whoever is in stays in."""
    said = rule_of(body.model_dump(mode="json", exclude_unset=True))

    def change(rules: list[dict[str, object]]) -> list[dict[str, object]]:
        place = index_of(rules, ruleID)
        kept = rules[place].get("id") or rules[place]["name"]
        return [*rules[:place], {"id": kept, **said}, *rules[place + 1 :]]

    return await gates.with_rules(id, command_id, change)


@router.delete("/gates/{id}/rules/{ruleID}", responses=CHANGING)
async def delete_rule(
    id: Id,
    ruleID: RuleId,  # noqa: N803
    gates: Gates,
    command_id: CommandId,
) -> Single[OfficialGate]:
    """Take a rule away."""

    def change(rules: list[dict[str, object]]) -> list[dict[str, object]]:
        place = index_of(rules, ruleID)
        return [*rules[:place], *rules[place + 1 :]]

    return await gates.with_rules(id, command_id, change)


@router.put("/gates/{id}/enable", responses=CHANGING)
async def enable(id: Id, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Switch a gate on; with a pipeline, its release starts."""
    return await gates.switched(id, command_id, on=True)


@router.put("/gates/{id}/disable", responses=CHANGING)
async def disable(id: Id, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Switch a gate off, everywhere at once. With a pipeline, needs the role operator as well."""
    return await gates.switched(id, command_id, on=False)


@router.put("/gates/{id}/launch", responses=CHANGING)
async def launch(id: Id, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Give a gate to everyone, everywhere at once. With a pipeline, needs the role operator as well."""
    return await gates.launched(id, command_id)


@router.put("/gates/{id}/archive", responses=CHANGING)
async def archive(id: Id, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Take a gate out of every region, at once. With a pipeline, needs the role operator as well."""
    return await gates.archived(id, command_id)


@router.put("/gates/{id}/unarchive", responses=CHANGING)
async def unarchive(id: Id, gates: Gates, command_id: CommandId) -> Single[OfficialGate]:
    """Bring a gate back; with a pipeline, its release starts."""
    return await gates.unarchived(id, command_id)
