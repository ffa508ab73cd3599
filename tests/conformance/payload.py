"""A config-spec payload (`dcs-v2`), as Statsig's Server Core SDKs download it.

Specs stay text until they are asked for. As in the SDKs, a malformed spec costs only itself, while a
malformed condition or override costs the whole payload.
"""

from typing import Annotated, Any

import msgspec
from pydantic import JsonValue, TypeAdapter, ValidationError

from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.rule_document import ConfigSpec, OverrideMapping, SpecCondition, SpecRule, SpecSet


class SdkCondition(SpecCondition):
    """A condition as the SDKs require it: `idType` may not be left out."""

    id_type: str


class SdkRule(SpecRule):
    """A rule as the SDKs require it."""

    id_type: str


class SdkSpec(ConfigSpec):
    """A gate or config as the SDKs require it."""

    rules: tuple[SdkRule, ...]
    id_type: str


_CONDITIONS = TypeAdapter(dict[str, SdkCondition])
_RULES = TypeAdapter(dict[str, SdkRule])
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
        self._rules: dict[str, SdkRule] = {}
        self._overrides: dict[str, tuple[OverrideMapping, ...]] = {}
        try:
            self._text = msgspec.json.decode(text, type=_Text)
            self._conditions = _CONDITIONS.validate_json(bytes(self._text.condition_map), strict=True)
            if b"null" not in (bytes(self._text.overrides), bytes(self._text.override_rules)):
                self._rules = _RULES.validate_json(bytes(self._text.override_rules), strict=True)
                self._overrides = _OVERRIDES.validate_json(bytes(self._text.overrides), strict=True)
        except (msgspec.MsgspecError, ValidationError) as error:
            raise InvalidPayload(f"invalid config-spec payload: {error}") from error

    @property
    def has_updates(self) -> bool:
        """False: nothing changed, and the other fields are empty."""
        return self._text.has_updates

    @property
    def default_environment(self) -> str | None:
        """The tier of a user without an environment."""
        return self._text.default_environment

    @property
    def app(self) -> JsonValue:
        """What a `target_app` condition looks at."""
        app: JsonValue = self._text.app_id
        return app

    def names(self, kind: FeatureKind) -> set[str]:
        """Return all names that could have an answer."""
        return {*self._specs(kind), *self._overrides}

    def spec_set(self, kind: FeatureKind, name: str) -> SpecSet:
        """Return one spec with all that it refers to by id; without the spec, if it is malformed."""
        spec = self._spec(kind, name)
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

    def _spec(self, kind: FeatureKind, name: str) -> ConfigSpec | None:
        """Return a spec; its rules delegate only to configs that have a well-formed spec, as in the SDKs."""
        spec = _parsed(self._specs(kind).get(name))
        if spec is None:
            return None
        rules = tuple(
            rule
            if self._is_config(rule.config_delegate)
            else rule.model_copy(update={"config_delegate": None})
            for rule in spec.rules
        )
        return spec.model_copy(update={"rules": rules})

    def _is_config(self, name: str | None) -> bool:
        return name is not None and _parsed(self._text.dynamic_configs.get(name)) is not None

    def _specs(self, kind: FeatureKind) -> dict[str, msgspec.Raw]:
        is_config = kind is FeatureKind.DYNAMIC_CONFIG
        return self._text.dynamic_configs if is_config else self._text.feature_gates


def _parsed(text: msgspec.Raw | None) -> SdkSpec | None:
    if text is None:
        return None
    try:
        return SdkSpec.model_validate_json(bytes(text), strict=True)
    except ValidationError:
        return None
