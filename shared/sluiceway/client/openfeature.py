"""An OpenFeature provider that evaluates in this process.

```python
api.set_provider_and_wait(SluicewayProvider(Client("prod-eu")))
```
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    ParseError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider import AbstractProvider, Metadata

from ..contracts.identifiers import FeatureKey, FeatureKind
from ..evaluation.results import Evaluation, Reason
from .client import READY_SECONDS, Client
from .evaluation_context import user_from_context
from .flags import REASONS, evaluate_flag, metadata_of, variant_of


class SluicewayProvider(AbstractProvider):
    """Gates are boolean flags, dynamic configs are object flags.

    Each member of a config is a flag too: `limits/max` is the member `max` of `limits`. The provider
    starts `client` and closes it.
    """

    def __init__(self, client: Client, *, ready_seconds: float = READY_SECONDS) -> None:
        super().__init__()
        self._client = client
        self._ready_seconds = ready_seconds
        self._known: dict[FeatureKey, bytes] = {}
        self._is_late = False

    def get_metadata(self) -> Metadata:
        return Metadata(name="sluiceway")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Return once the region's rules have arrived, or after `ready_seconds` if the cache has old ones."""
        is_new = self._client.start().wait_until_ready(self._ready_seconds)
        self._known = self._client.rules.raw_documents()
        self._is_late = not is_new and not self._client.rules.is_whole
        self._client.rules.on_change = self._changed
        if self._is_late:
            raise ProviderNotReadyError(
                f"timed out after {self._ready_seconds:g} s waiting for the first rules"
            )

    def shutdown(self) -> None:
        self._client.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, evaluation_context, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, evaluation_context, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, evaluation_context, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, evaluation_context, float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        return self._resolve(flag_key, evaluation_context, (dict, list))

    def _resolve(
        self, key: str, context: EvaluationContext | None, wanted: Any
    ) -> FlagResolutionDetails[Any]:
        described = {**context.attributes} if context else {}
        if context and context.targeting_key:
            described["targetingKey"] = context.targeting_key
        name, _, member = key.partition("/")
        answer = evaluate_flag(self._client.rules, user_from_context(described), name)
        if answer.reason in _ERRORS:
            _ERRORS[answer.reason](key)
        has_id = described.get("targetingKey") or described.get("customIDs")
        if answer.reason is Reason.SPLIT and not has_id:
            raise TargetingKeyMissingError(f"{key} passes a percentage of users: set a targeting key")
        return FlagResolutionDetails(
            value=_typed(key, _value(key, answer, member), wanted),
            reason=REASONS[answer.reason],
            variant=variant_of(answer),
            flag_metadata=metadata_of(answer),
        )

    def _changed(self) -> None:
        before, self._known = self._known, self._client.rules.raw_documents()
        if self._is_late:
            if not self._client.rules.is_whole:
                return
            self._is_late = False
            self.emit_provider_ready(ProviderEventDetails())
            return
        changed = {key for key, _ in before.items() ^ self._known.items()}
        # It is unknown here which flags depend on a segment.
        is_known = not any(key.kind is FeatureKind.SEGMENT for key in changed)
        names = sorted({key.name for key in changed}) if is_known else None
        if changed:
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=names))


def _value(key: str, answer: Evaluation, member: str) -> Any:
    if not member:
        return copy.deepcopy(answer.value)
    if not isinstance(answer.value, dict) or member not in answer.value:
        raise FlagNotFoundError(f"unknown flag {key!r}: the config has no such member")
    return copy.deepcopy(answer.value[member])


def _typed(key: str, value: Any, wanted: type | tuple[type, ...]) -> Any:
    """Return a value of the wanted type. An integer counts as a float, but a bool never as a number."""
    if wanted is float and type(value) is int:
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise TypeMismatchError(f"{key} is of type {type(value).__name__}")
    return value


def _not_found(key: str) -> NoReturn:
    raise FlagNotFoundError(f"unknown flag {key!r}")


def _unsupported(key: str) -> NoReturn:
    raise ParseError(f"this version cannot evaluate the rules of {key}; update it")


def _failed(key: str) -> NoReturn:
    raise GeneralError(f"cannot evaluate {key}; see the log")


def _not_ready(key: str) -> NoReturn:
    raise ProviderNotReadyError(f"{key}: the rules of the region have not arrived yet")


_ERRORS = {
    Reason.UNRECOGNIZED: _not_found,
    Reason.NOT_READY: _not_ready,
    Reason.UNSUPPORTED: _unsupported,
    Reason.ERROR: _failed,
}
