"""A config-spec payload (`dcs-v2`), as Statsig's Server Core SDKs download it.

Its specs stay text until somebody asks for them. As in the SDKs, a malformed spec costs only itself,
while a malformed condition or override costs the whole payload.
"""

from typing import Annotated, Any

import msgspec
from pydantic import JsonValue, TypeAdapter, ValidationError

from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import ConfigSpec, OverrideMapping, SpecCondition, SpecRule, SpecSet

_CONDITIONS = TypeAdapter(dict[str, SpecCondition])
_RULES = TypeAdapter(dict[str, SpecRule])
_OVERRIDES = TypeAdapter(dict[str, tuple[OverrideMapping, ...]])


class InvalidPayload(ValueError):
    """The payload is refused as a whole."""


class _Text(msgspec.Struct):
    has_updates: bool
    time: Annotated[int, msgspec.Meta(ge=0)]
    feature_gates: dict[str, msgspec.Raw]
    dynamic_configs: dict[str, msgspec.Raw]
    layer_configs: dict[str, msgspec.Raw]
    condition_map: msgspec.Raw
    experiment_to_layer: dict[str, str]
    override_rules: msgspec.Raw = msgspec.Raw(b"null")
    overrides: msgspec.Raw = msgspec.Raw(b"null")
    checksum: str | None = None
    default_environment: str | None = None
    app_id: Any = None


class Payload:
    """A full set of specs; each is parsed when it is asked for."""

    def __init__(self, text: bytes) -> None:
        try:
            self._text = msgspec.json.decode(text, type=_Text)
            self._conditions = _CONDITIONS.validate_json(bytes(self._text.condition_map), strict=True)
            has_overrides = b"null" not in (bytes(self._text.overrides), bytes(self._text.override_rules))
            self._rules = self._overrides = {}
            if has_overrides:
                self._rules = _RULES.validate_json(bytes(self._text.override_rules), strict=True)
                self._overrides = _OVERRIDES.validate_json(bytes(self._text.overrides), strict=True)
        except (msgspec.MsgspecError, ValidationError) as error:
            raise InvalidPayload(f"not a config-spec payload: {error}") from error

    @property
    def has_updates(self) -> bool:
        """False: there is nothing new, and the rest says nothing."""
        return self._text.has_updates

    @property
    def time(self) -> int:
        """The version stamp; it never goes back."""
        return self._text.time

    @property
    def checksum(self) -> str:
        """The identity of the set; empty without one."""
        return self._text.checksum or ""

    @property
    def default_environment(self) -> str | None:
        return self._text.default_environment

    @property
    def app(self) -> JsonValue:
        """What a `target_app` condition looks at."""
        app: JsonValue = self._text.app_id
        return app

    def names(self, kind: FeatureKind) -> set[str]:
        """Return all names that could have an answer."""
        return {*self._specs(kind), *self._overrides}

    def is_config(self, name: str) -> bool:
        """Say whether there is a dynamic config of this name, with a spec that is well formed."""
        return _parsed(self._text.dynamic_configs.get(name)) is not None

    def spec_set(self, kind: FeatureKind, name: str) -> SpecSet:
        """Return one spec with all that it refers to by id; without the spec, where that is malformed."""
        spec = _parsed(self._specs(kind).get(name))
        mappings = self._overrides.get(name, ())
        references = {reference.rule_name for mapping in mappings for reference in mapping.rules}
        rules = {id_: self._rules[id_] for id_ in references if id_ in self._rules}
        ids = {id_ for rule in (*(spec.rules if spec else ()), *rules.values()) for id_ in rule.conditions}
        named = {name: spec} if spec else {}
        return SpecSet(
            feature_gates=named if kind is FeatureKind.GATE else {},
            dynamic_configs=named if kind is FeatureKind.DYNAMIC_CONFIG else {},
            condition_map={id_: self._conditions[id_] for id_ in ids if id_ in self._conditions},
            override_rules=rules,
            overrides={name: mappings} if mappings else {},
        )

    def _specs(self, kind: FeatureKind) -> dict[str, msgspec.Raw]:
        is_config = kind is FeatureKind.DYNAMIC_CONFIG
        return self._text.dynamic_configs if is_config else self._text.feature_gates


def _parsed(text: msgspec.Raw | None) -> ConfigSpec | None:
    if text is None:
        return None
    try:
        return ConfigSpec.model_validate_json(bytes(text), strict=True)
    except ValidationError:
        return None
