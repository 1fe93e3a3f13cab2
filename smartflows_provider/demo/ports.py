"""Free TCP ports on the loopback address.

Why this module exists: several copies of Airflow may run on one machine, so no port can be a fixed one.
"""

from __future__ import annotations

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return distinct ports that nothing listens on at this moment.

    Another program may take one before it is used; the program that wanted it then ends with a message
    that says so.

    :param count: how many ports
    """
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
