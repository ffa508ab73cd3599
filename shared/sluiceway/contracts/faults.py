"""What is wrong with a document, in words."""

from pydantic import ValidationError


def faults_of(error: ValidationError) -> str:
    """Return what is wrong with a document, in one line: where, and what is expected there."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'the message'}: {fault['msg']}"
        for fault in error.errors(include_url=False)[:10]
    )
