"""Errors are reported in the terms of the document's author."""

import pytest
from pydantic import BaseModel, ValidationError

from sluiceway.contracts.validation_errors import describe_errors


class Rules(BaseModel):
    rules: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rules": 5}', "rules: Input should be a valid list"),
        ('{"rules": [', "the message: Invalid JSON: EOF while parsing a list at line 1 column 11"),
        (
            '{"rules": ["x", 2]}',
            "rules.0: Input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_an_error_is_reported_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rules.model_validate_json(text)

    assert describe_errors(caught.value) == message
