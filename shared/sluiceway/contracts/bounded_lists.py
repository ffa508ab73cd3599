"""Lists of documents that cost no more if they are invalid.

Every invalid member of a list is an error with some kB of memory, and a text of 250 kB has 125,000 members.
"""

from typing import Any, cast

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema


class FirstError:
    """Marks a list: after a member that is invalid, the others are not looked at.

    This is pydantic's `FailFast`, which cannot stand in a union.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: dict[str, Any] = {**handler(source), "fail_fast": True}
        assert schema["type"] in ("tuple", "list")
        return cast(CoreSchema, schema)


FIRST_ERROR = FirstError()


def at_most(length: int) -> BeforeValidator:
    """Refuse a longer list or object before its members are looked at."""

    def check(value: object) -> object:
        if isinstance(value, list | tuple | dict) and len(value) > length:
            raise ValueError(f"it has {len(value)} members; at most {length} are allowed")
        return value

    return BeforeValidator(check)
