"""The envelopes of the Console API's responses."""

from typing import Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request

from sluiceway.contracts.models import WireModel

from ..limits import PAGE_SIZE

T = TypeVar("T")


class Single(WireModel, Generic[T]):
    """A response with one thing."""

    message: str
    data: T


class OfficialMessage(WireModel):
    """A response without data."""

    message: str


class Pagination(WireModel):
    """The position of a page. The addresses are paths with a query."""

    items_per_page: int
    page_number: int
    next_page: str | None
    previous_page: str | None
    total_items: int
    all: str


class Listed(WireModel, Generic[T]):
    """A response with one page of a list."""

    message: str
    data: list[T]
    pagination: Pagination


def paged(request: Request, message: str, items: list[T], limit: int = PAGE_SIZE, page: int = 1) -> Listed[T]:
    """Return one page of a list."""
    first = (page - 1) * limit
    pagination = pagination_of(request, len(items), limit, page)
    return Listed(message=message, data=items[first : first + limit], pagination=pagination)


def pagination_of(request: Request, total: int, limit: int, page: int) -> Pagination:
    """Return the position of a page in a list of `total` things."""
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
