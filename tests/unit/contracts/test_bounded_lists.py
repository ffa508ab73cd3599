"""An invalid document costs no more than a valid one of the same size."""

import pytest
from pydantic import ValidationError

from sluiceway.contracts.commands import (
    Command,
    CreateKey,
    PauseTrigger,
    SaveFeature,
    SaveFreeze,
    SavePipeline,
    SaveRegion,
)
from sluiceway.contracts.validation_errors import describe_errors

#: Errors that one document may have, also a large one.
ERRORS_BOUND = 200
MANY = 50_000


def listed(member: str) -> str:
    return f"[{','.join([member] * MANY)}]"


RULE = '{"feature": {"kind": "FeatureGate", "name": "x", "rules": [{"name": "r", *}]}}'
PHASE = '{"pipeline": {"name": "x", "phases": [{"name": "p", "rules": [{"name": "r", *}]}]}}'
KEY = (
    '{"key": {"kind": "ApiKey", "id": "k", "owner": "o", "hash": "$argon2id$", "createdMs": 1, "grants": *}}'
)


@pytest.mark.parametrize(
    ("model", "text", "members"),
    [
        (SaveFeature, RULE, f'"conditions": {listed("{}")}'),
        (SaveFeature, RULE, f'"environments": {listed("1")}'),
        (SaveFeature, RULE, f'"conditions": [{{"type": "email", "targetValue": {listed("[]")}}}]'),
        (SaveFeature, '{"feature": {"kind": "FeatureGate", "name": "x", "rules": *}}', listed("1")),
        (SaveFeature, '{"feature": {"kind": "DynamicConfig", "name": "x", "rules": *}}', listed("1")),
        (SaveFeature, '{"feature": {"kind": "Segment", "name": "x", "ids": *}}', listed("1")),
        (SavePipeline, PHASE, f'"conditions": {listed("{}")}'),
        (SavePipeline, '{"pipeline": {"name": "x", "phases": *}}', listed("1")),
        (SaveFreeze, '{"freeze": {"name": "x", "weekly": *}}', listed("1")),
        (CreateKey, KEY, listed("1")),
        (PauseTrigger, '{"identity": {"name": "x", "vouchedBy": "x", "grants": *}}', listed("1")),
        (
            SaveRegion,
            '{"region": {"name": "x", "environment": "y", "attributes": {*}}}',
            ",".join(f'"{n}": []' for n in range(MANY)),
        ),
    ],
)
def test_many_invalid_members_are_few_errors(model: type[Command], text: str, members: str) -> None:
    with pytest.raises(ValidationError) as error:
        model.model_validate_json(text.replace("*", members))

    assert error.value.error_count() < ERRORS_BOUND
    assert len(describe_errors(error.value)) < 5_000
