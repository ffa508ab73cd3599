"""`/console/v1/dynamic_configs`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sluiceway.contracts.identifiers import FeatureKind

from ..dependencies import Backend, Caller
from .bodies import ConfigChange, ConfigRuleBody, ConfigUpdate, NewConfig
from .feature_resource import FeatureResource
from .feature_routes import FeatureType, add_feature_routes
from .official_features import OfficialConfig

router = APIRouter(tags=["dynamic configs"])


def _configs(backend: Backend, caller: Caller, response: Response) -> FeatureResource[OfficialConfig]:
    kind = FeatureKind.DYNAMIC_CONFIG
    return FeatureResource(kind, "Dynamic config", OfficialConfig, backend, caller, response)


add_feature_routes(
    router,
    FeatureType(
        noun="config",
        path="/dynamic_configs",
        rule_path="/rule/{ruleId}",
        view=OfficialConfig,
        features=Annotated[FeatureResource[OfficialConfig], Depends(_configs)],
        new=NewConfig,
        update=ConfigUpdate,
        change=ConfigChange,
        rule=ConfigRuleBody,
    ),
)
