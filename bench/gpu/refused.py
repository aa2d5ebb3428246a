"""Why something was not measured. The others go on."""

from __future__ import annotations


class Refused(Exception):
    """``code``: one of few words for programs (missing, no-device, failed, wrong, memory); the message is for people:
    what is wrong and what to do."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def words(error: BaseException) -> str:
    """The words of what began it, the last line that says something: compilers put their reason there."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"[:500]
