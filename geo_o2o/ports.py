"""Ports of this machine, and names that one process at a time may hold."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

_TRIED = 500


class Busy(Exception):
    """The port or the name belongs to somebody else; the message says which."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens on a port. Raises Busy where we may not listen on it at all."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as failure:
            raise Busy(f"only root may listen on port {port}; take one from 1024 on") from failure
        except OSError:
            return False
    return True


def free_port(first: int, host: str = "127.0.0.1") -> int:
    """The first port from here on that nobody listens on. Raises Busy."""
    for port in range(first, min(first + _TRIED, 65_536)):
        if is_free(port, host):
            return port
    raise Busy(f"no port from {first} to {first + _TRIED} is free")


@contextlib.contextmanager
def hold(name: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Holds a name of ours on this machine; the kernel lets go of it with the process, also by SIGKILL.

    An abstract socket: no file is left, and it works between users. wait_s: how long to wait for another holder. Raises Busy.
    """
    deadline = time.monotonic() + wait_s
    with socket.socket(socket.AF_UNIX) as holder:
        while True:
            try:
                holder.bind(f"\0geo-o2o {name}")
                break
            except OSError as failure:
                if time.monotonic() >= deadline:
                    raise Busy(f"another geo_o2o holds {name}") from failure
                time.sleep(0.05)
        yield
