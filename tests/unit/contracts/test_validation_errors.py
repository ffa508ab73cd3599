"""Faults are told in the words of whoever wrote the document."""

import pytest
from pydantic import BaseModel, ValidationError

from sluiceway.contracts.validation_errors import describe_errors


class Rules(BaseModel):
    rules: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"rules": 5}', "rules: Input should be a valid list"),
        ('{"rules": [', "the message: Invalid JSON: EOF while parsing a list at line 1 column 11"),
        (
            '{"rules": ["x", 2]}',
            "rules.0: Input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rules.model_validate_json(text)

    assert describe_errors(caught.value) == told
