"""The frames that every answer of the Console API stands in."""

from typing import Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel

from ..limits import PAGE_SIZE

T = TypeVar("T")


class Single(BaseModel, Generic[T]):
    """One thing."""

    message: str
    data: T


class Pagination(BaseModel):
    """Where a page stands; addresses are paths with their query."""

    itemsPerPage: int  # noqa: N815 (the API's own spelling)
    pageNumber: int  # noqa: N815
    nextPage: str | None  # noqa: N815
    previousPage: str | None  # noqa: N815
    totalItems: int  # noqa: N815
    all: str


class Listed(BaseModel, Generic[T]):
    """Some of many things."""

    message: str
    data: list[T]
    pagination: Pagination


def paged(request: Request, message: str, found: list[T], limit: int = PAGE_SIZE, page: int = 1) -> Listed[T]:
    """Return one page of what was found."""
    first = (page - 1) * limit
    others = [(key, value) for key, value in request.query_params.multi_items() if key != "page"]

    def address(number: int) -> str:
        return f"{request.url.path}?{urlencode([*others, ('page', str(number))])}"

    pagination = Pagination(
        itemsPerPage=limit,
        pageNumber=page,
        nextPage=address(page + 1) if first + limit < len(found) else None,
        previousPage=address(page - 1) if page > 1 else None,
        totalItems=len(found),
        all=request.url.path,
    )
    return Listed(message=message, data=found[first : first + limit], pagination=pagination)
