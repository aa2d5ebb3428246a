"""Work that may take minutes and that nothing can end, such as opening a model: in a thread that nobody waits for.

An executor's threads are waited for when the event loop closes, and once more when Python ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
NAME = "aside"


async def aside(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. Cancelled, or when the loop ends, the work goes on and is not heard of again."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(tell: Callable[[Any], None], what: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if future.done() else tell(what))

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            settle(future.set_exception, error)
        else:
            settle(future.set_result, found)

    threading.Thread(target=run, name=NAME, daemon=True).start()
    return await future


def busy() -> bool:
    """Whether there is still such work."""
    return any(thread.name == NAME for thread in threading.enumerate())
