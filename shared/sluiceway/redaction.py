"""Shows URLs without the passwords in them."""

import re

#: Greedy: a password may have a slash or another `@` in it, which makes the URL invalid.
_USERINFO = re.compile(r"(?P<scheme>^\s*[a-zA-Z][a-zA-Z0-9+.-]*://)?.*@", re.DOTALL)


def hide_userinfo(url: str) -> str:
    """Return one URL with `***` for the user and password that it holds, also if it is invalid."""
    return _USERINFO.sub(lambda match: f"{match['scheme'] or ''}***@", url, count=1)
