"""What is wrong with a document, in words."""

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

ERRORS_MAX = 10


def describe_errors(error: ValidationError) -> str:
    """Return what is wrong with a document, in one line: where, and what is expected there."""
    faults = error.errors(include_url=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'the message'}: {describe_error(fault)}"
        for fault in [fault for fault in faults if not _only_follows(fault, faults)][:ERRORS_MAX]
    )


def describe_error(fault: ErrorDetails) -> str:
    """Return what one fault is, in the words of whoever writes JSON or YAML."""
    match fault["type"]:
        case "tuple_type":
            return "Input should be a valid list"
        case "json_invalid":
            return f"Invalid JSON: {fault.get('ctx', {}).get('error', fault['msg'])}"
        case _:
            return fault["msg"]


def _only_follows(fault: ErrorDetails, faults: Sequence[ErrorDetails]) -> bool:
    """Say whether a list is too short merely since its members have faults: pydantic does not count those."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in faults
    )
