"""The frames that every answer of the Console API stands in."""

from typing import Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request

from sluiceway.contracts.models import WireModel

from ..limits import PAGE_SIZE

T = TypeVar("T")


class Single(WireModel, Generic[T]):
    """One thing."""

    message: str
    data: T


class OfficialMessage(WireModel):
    """Something was done, and nothing is left to show."""

    message: str


class Pagination(WireModel):
    """Where a page stands; addresses are paths with their query."""

    items_per_page: int
    page_number: int
    next_page: str | None
    previous_page: str | None
    total_items: int
    all: str


class Listed(WireModel, Generic[T]):
    """Some of many things."""

    message: str
    data: list[T]
    pagination: Pagination


def paged(request: Request, message: str, found: list[T], limit: int = PAGE_SIZE, page: int = 1) -> Listed[T]:
    """Return one page of what was found."""
    first = (page - 1) * limit
    pagination = pagination_of(request, len(found), limit, page)
    return Listed(message=message, data=found[first : first + limit], pagination=pagination)


def pagination_of(request: Request, total: int, limit: int, page: int) -> Pagination:
    """Return where a page of so many things stands."""
    others = [(key, value) for key, value in request.query_params.multi_items() if key != "page"]

    def address(number: int) -> str:
        return f"{request.url.path}?{urlencode([*others, ('page', str(number))])}"

    return Pagination(
        items_per_page=limit,
        page_number=page,
        next_page=address(page + 1) if page * limit < total else None,
        previous_page=address(page - 1) if page > 1 else None,
        total_items=total,
        all=request.url.path,
    )
