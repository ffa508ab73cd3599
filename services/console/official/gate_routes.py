"""`/console/v1/gates`: the routes of every feature, and those that only gates have."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from sluiceway.contracts.identifiers import NAME_PATTERN, FeatureKind

from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING
from .bodies import GateChange, GateRuleBody, GateRulesBody, GateUpdate, NewGate
from .documents import rule_of
from .feature_resource import FeatureResource
from .feature_routes import FeatureType, add_feature_routes
from .official_features import OfficialGate
from .responses import Single

router = APIRouter(tags=["gates"])


def _gates(backend: Backend, caller: Caller, response: Response) -> FeatureResource[OfficialGate]:
    return FeatureResource(FeatureKind.GATE, "Gate", OfficialGate, backend, caller, response)


Gates = Annotated[FeatureResource[OfficialGate], Depends(_gates)]
GateId = Annotated[str, Path(pattern=NAME_PATTERN, description="The gate's name.")]

add_feature_routes(
    router,
    FeatureType(
        noun="gate",
        path="/gates",
        rule_path="/rules/{ruleID}",
        view=OfficialGate,
        features=Gates,
        new=NewGate,
        update=GateUpdate,
        change=GateChange,
        rule=GateRuleBody,
    ),
)


@router.post("/gates/{id}/rule", responses=CHANGING)
async def add_rule(id: GateId, body: GateRuleBody, gates: Gates, headers: Headers) -> Single[OfficialGate]:
    """Add a rule after the others."""
    rule = rule_of(body)
    return await gates.change_rules(id, headers, lambda rules: (*rules, rule))


@router.post("/gates/{id}/rules", responses=CHANGING)
async def add_rules(id: GateId, body: GateRulesBody, gates: Gates, headers: Headers) -> Single[OfficialGate]:
    """Add rules after the others."""
    added = tuple(map(rule_of, body.rules))
    return await gates.change_rules(id, headers, lambda rules: (*rules, *added))


@router.patch("/gates/{id}/rules", responses=CHANGING)
async def replace_rules(
    id: GateId, body: GateRulesBody, gates: Gates, headers: Headers
) -> Single[OfficialGate]:
    """Replace all rules."""
    replacement = tuple(map(rule_of, body.rules))
    return await gates.change_rules(id, headers, lambda rules: replacement)


@router.put("/gates/{id}/launch", responses=CHANGING)
async def launch(id: GateId, gates: Gates, headers: Headers) -> Single[OfficialGate]:
    """Release a gate to everyone immediately. With a pipeline, this also needs the role operator."""
    return await gates.launch(id, headers)
