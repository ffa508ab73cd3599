"""The routes that gates and dynamic configs have in common.

Each handler below is written once, for any kind of feature. `add_feature_routes` adds a copy of it for
one kind, with the types of that kind instead of the placeholders: FastAPI reads them for validation
and for the OpenAPI document.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Path, Query, Request

from sluiceway.contracts.identifiers import NAME_PATTERN, Name

from ..dependencies import CommandId, Headers
from ..errors import CHANGING, CREATING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from .bodies import (
    ConfigChange,
    ConfigRuleBody,
    ConfigUpdate,
    GateChange,
    GateRuleBody,
    GateUpdate,
    NewConfig,
    NewGate,
)
from .documents import Rules, new_name, rule_index, rule_with_id
from .feature_resource import FeatureResource
from .official_features import OfficialFeature, View
from .responses import Listed, Single

#: Placeholders for the bodies of a kind.
NewBody = TypeVar("NewBody", bound=NewGate | NewConfig)
UpdateBody = TypeVar("UpdateBody", bound=GateUpdate | ConfigUpdate)
ChangeBody = TypeVar("ChangeBody", bound=GateChange | ConfigChange)
RuleBody = TypeVar("RuleBody", bound=GateRuleBody | ConfigRuleBody)
#: Placeholders for the parameters in paths.
FeatureId = Annotated[str, "the name of a feature"]
RuleId = Annotated[str, "the id or name of a rule"]

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class FeatureType:
    """What differs between the routes of gates and those of dynamic configs."""

    noun: str
    path: str
    #: Behind the path of a feature. The official API names the parameter differently for each kind.
    rule_path: str
    view: type[OfficialFeature]
    #: The dependency that provides the `FeatureResource`.
    features: Any
    new: type[NewGate | NewConfig]
    update: type[GateUpdate | ConfigUpdate]
    change: type[GateChange | ConfigChange]
    rule: type[GateRuleBody | ConfigRuleBody]

    @property
    def feature_id(self) -> Any:
        """The parameter that names a feature."""
        return Annotated[str, Path(pattern=NAME_PATTERN, description=f"The {self.noun}'s name.")]

    @property
    def rule_id(self) -> Any:
        """The parameter that names a rule."""
        name = self.rule_path.partition("{")[2].rstrip("}")
        path = Path(alias=name, min_length=1, max_length=100, description="The rule's id, or its name.")
        return Annotated[str, path]

    def annotation(self, parameter: inspect.Parameter) -> Any:
        """Return the type of the kind for a placeholder; any other annotation unchanged."""
        if parameter.name == "features":
            return self.features
        annotations = {
            FeatureId: self.feature_id,
            RuleId: self.rule_id,
            NewBody: self.new,
            UpdateBody: self.update,
            ChangeBody: self.change,
            RuleBody: self.rule,
        }
        return annotations.get(parameter.annotation, parameter.annotation)


class FeatureRoute(NamedTuple):
    """A route of every kind. `{noun}` and `{rule}` in its texts are replaced by those of the kind."""

    method: str
    path: str
    name: str
    handler: Handler
    responses: Mapping[int | str, dict[str, Any]]
    status_code: int


ROUTES: list[FeatureRoute] = []


def add_feature_routes(router: APIRouter, kind: FeatureType) -> None:
    """Add the common routes for one kind of feature."""
    for route in ROUTES:
        endpoint = _with_types(route.handler, kind)
        router.add_api_route(
            kind.path + route.path.replace("{rule}", kind.rule_path),
            endpoint,
            methods=[route.method],
            name=route.name.format(noun=kind.noun),
            description=inspect.cleandoc(route.handler.__doc__ or "").format(noun=kind.noun),
            responses=dict(route.responses),
            status_code=route.status_code,
        )


def _with_types(handler: Handler, kind: FeatureType) -> Handler:
    """Return a copy of a handler with the types of a kind instead of the placeholders."""

    async def endpoint(**arguments: Any) -> Any:
        return await handler(**arguments)

    signature = inspect.signature(handler)
    parameters = [p.replace(annotation=kind.annotation(p)) for p in signature.parameters.values()]
    endpoint.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=signature.return_annotation[kind.view]
    )
    return endpoint


def _route(
    method: str,
    path: str,
    name: str,
    *,
    responses: Mapping[int | str, dict[str, Any]] = CHANGING,
    status_code: int = 200,
) -> Callable[[Handler], Handler]:
    def add(handler: Handler) -> Handler:
        ROUTES.append(FeatureRoute(method, path, name, handler, responses, status_code))
        return handler

    return add


@_route("GET", "", "list_{noun}s", responses=READING)
async def list_features(
    request: Request,
    features: FeatureResource[View],
    pipeline: Annotated[Name | None, Query(alias="releasePipelineID")] = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> Listed[View]:
    """List the {noun}s, by name."""
    return await features.list(request, pipeline, limit, page)


@_route("POST", "", "create_{noun}", responses=CREATING, status_code=201)
async def create_feature(
    body: NewBody, features: FeatureResource[View], command_id: CommandId
) -> Single[View]:
    """Create a {noun}. With a pipeline, its release starts. Needs the role editor."""
    return await features.create(new_name(body), body, command_id)


@_route("GET", "/{id}", "get_{noun}", responses=READING_ONE)
async def get_feature(id: FeatureId, features: FeatureResource[View]) -> Single[View]:
    """Return a {noun}."""
    return await features.get(id)


@_route("POST", "/{id}", "update_{noun}")
async def update_feature(
    id: FeatureId, body: UpdateBody, features: FeatureResource[View], headers: Headers
) -> Single[View]:
    """Write a {noun} as a whole. With a pipeline, a release starts; refused (409) while one is active."""
    return await features.replace(id, body, headers)


@_route("PATCH", "/{id}", "change_{noun}")
async def change_feature(
    id: FeatureId, body: ChangeBody, features: FeatureResource[View], headers: Headers
) -> Single[View]:
    """Change the fields that the body names. Attaching a pipeline alone starts no release."""
    return await features.change(id, body, headers)


@_route("PATCH", "/{id}{rule}", "replace_rule")
async def replace_rule(
    id: FeatureId, rule_id: RuleId, body: RuleBody, features: FeatureResource[View], headers: Headers
) -> Single[View]:
    """Replace a rule. The new rule keeps the id of the old one, so that the same users pass it."""

    def change(rules: Rules) -> Rules:
        index = rule_index(rules, rule_id)
        return (*rules[:index], rule_with_id(body, rules[index]), *rules[index + 1 :])

    return await features.change_rules(id, headers, change)


@_route("DELETE", "/{id}{rule}", "delete_rule")
async def delete_rule(
    id: FeatureId, rule_id: RuleId, features: FeatureResource[View], headers: Headers
) -> Single[View]:
    """Delete a rule."""

    def change(rules: Rules) -> Rules:
        index = rule_index(rules, rule_id)
        return (*rules[:index], *rules[index + 1 :])

    return await features.change_rules(id, headers, change)


@_route("PUT", "/{id}/enable", "enable")
async def enable(id: FeatureId, features: FeatureResource[View], headers: Headers) -> Single[View]:
    """Enable a {noun}; with a pipeline, its release starts."""
    return await features.enable(id, headers)


@_route("PUT", "/{id}/disable", "disable")
async def disable(id: FeatureId, features: FeatureResource[View], headers: Headers) -> Single[View]:
    """Disable a {noun} everywhere immediately. With a pipeline, this also needs the role operator."""
    return await features.disable(id, headers)


@_route("PUT", "/{id}/archive", "archive")
async def archive(id: FeatureId, features: FeatureResource[View], headers: Headers) -> Single[View]:
    """Remove a {noun} from every region immediately. With a pipeline, this also needs the role operator."""
    return await features.archive(id, headers)


@_route("PUT", "/{id}/unarchive", "unarchive")
async def unarchive(id: FeatureId, features: FeatureResource[View], headers: Headers) -> Single[View]:
    """Restore an archived {noun}; with a pipeline, its release starts."""
    return await features.unarchive(id, headers)
