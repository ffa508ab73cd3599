"""Messages about what is wrong with a document."""

from collections.abc import Sequence
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

ERRORS_MAX = 10


def describe_errors(error: ValidationError) -> str:
    """Return what is wrong with a document, in one line: where, and what is expected there."""
    details = error.errors(include_url=False, include_input=False)
    causes = islice((detail for detail in details if not _is_consequence(detail, details)), ERRORS_MAX)
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'the message'}: {describe_error(detail)}" for detail in causes
    )


def describe_error(detail: ErrorDetails) -> str:
    """Return one error in the terms of JSON and YAML, which know no tuples."""
    match detail["type"]:
        case "tuple_type":
            return "Input should be a valid list"
        case "json_invalid":
            return f"Invalid JSON: {detail.get('ctx', {}).get('error', detail['msg'])}"
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
        case _:
            return detail["msg"]


def _is_consequence(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Return whether a list is too short only because pydantic does not count its invalid members."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )
