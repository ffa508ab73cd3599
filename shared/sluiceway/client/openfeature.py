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

    A single member of a config is a flag of its own: `limits/max` is the member `max` of `limits`.
    `client` is started with the provider, and closed with it.
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
        """Return once the region's rules are here; old ones from the disk do as well."""
        is_new = self._client.start().wait_until_ready(self._ready_seconds)
        self._known = self._client.rules.texts()
        self._is_late = not is_new and not self._known
        self._client.rules.on_change = self._changed
        if self._is_late:
            raise ProviderNotReadyError(f"no rules within {self._ready_seconds} s")

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
            raise TargetingKeyMissingError(f"{key} is dealt by percentage: give a targeting key")
        return FlagResolutionDetails(
            value=_typed(key, _value(key, answer, member), wanted),
            reason=REASONS[answer.reason],
            variant=variant_of(answer),
            flag_metadata=metadata_of(answer),
        )

    def _changed(self) -> None:
        before, self._known = self._known, self._client.rules.texts()
        if self._is_late:
            self._is_late = False
            self.emit_provider_ready(ProviderEventDetails())
            return
        changed = {key for key, _ in before.items() ^ self._known.items()}
        # Which flags a segment stands behind is not known here.
        is_known = not any(key.kind is FeatureKind.SEGMENT for key in changed)
        names = sorted({key.name for key in changed}) if is_known else None
        if changed:
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=names))


def _value(key: str, answer: Evaluation, member: str) -> Any:
    if not member:
        return copy.deepcopy(answer.value)
    if not isinstance(answer.value, dict) or member not in answer.value:
        raise FlagNotFoundError(f"{key}: there is no such member")
    return copy.deepcopy(answer.value[member])


def _typed(key: str, value: Any, wanted: type | tuple[type, ...]) -> Any:
    """Return a value of the type that is asked for. An integer stands in for a float; a bool for nothing."""
    if wanted is float and type(value) is int:
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise TypeMismatchError(f"{key} is a {type(value).__name__}")
    return value


def _not_found(key: str) -> NoReturn:
    raise FlagNotFoundError(f"there is no {key}")


def _unsupported(key: str) -> NoReturn:
    raise ParseError(f"the rules of {key} hold what this version cannot evaluate")


def _failed(key: str) -> NoReturn:
    raise GeneralError(f"{key} could not be evaluated; the log says why")


_ERRORS = {Reason.UNRECOGNIZED: _not_found, Reason.UNSUPPORTED: _unsupported, Reason.ERROR: _failed}
