"""Connections of this process: kept, never to a machine's own key service, and hung up when they take too long."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import urllib.request
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from terracube.core.errors import HostileInputError
from terracube.cubes.access.redact import quiet_logger

# Connections that are kept to one host; more are opened when threads need them.
_KEPT = 16
_HOSTS = 32
# Where clouds give a machine its keys, besides the link-local addresses.
_METADATA = frozenset(("fd00:ec2::254", "100.100.100.200"))


def check_address(host: str, name: str) -> None:
    """Refuse the addresses under which clouds give a machine its own keys.

    Raises
    ------
    HostileInputError
        If ``host`` is a link-local or metadata address; host names pass, and are judged when they are connected to.
    """
    with suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_link_local or mapped.is_unspecified or str(mapped) in _METADATA:
            raise HostileInputError(
                "the address is link-local", where=name, expected="a public or private host", got=host
            )


class _Now(threading.local):
    watch: Watch | None = None


_now = _Now()


class Watch:
    """Hangs up on the server that this thread talks to, when a time is over; use it as a context manager.

    Parameters
    ----------
    seconds : float
        From entering the ``with`` block.
    """

    def __init__(self, seconds: float) -> None:
        self.fired = False
        """Whether it did hang up."""
        self._sock: socket.socket | None = None
        self._timer = self._timer_of(seconds)

    def __enter__(self) -> Self:
        _now.watch = self
        self._timer.start()
        return self

    def grant(self, seconds: float) -> None:
        """Give so much time from now on."""
        self._timer.cancel()
        self._timer = self._timer_of(seconds)
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _now.watch = None

    def hold(self, sock: socket.socket | None) -> None:
        """Say over what the thread talks."""
        self._sock = sock

    def _timer_of(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._hang_up)
        timer.daemon = True
        return timer

    def _hang_up(self) -> None:
        self.fired = True
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class _Guard:
    """Looks at whom a name led to before a word is sent, and tells the watch over what the thread talks."""

    sock: socket.socket | None
    host: str

    def connect(self) -> None:
        """Connect, and hang up at once on a metadata service."""
        super().connect()  # type: ignore[misc]  # of the connection class that this one is mixed into
        if self.sock is not None and self.sock.family in (socket.AF_INET, socket.AF_INET6):
            try:
                check_address(self.sock.getpeername()[0], self.host)
            except HostileInputError:
                self.close()  # type: ignore[attr-defined]
                raise

    def getresponse(self) -> Any:
        """Wait for the header of the answer."""
        if _now.watch is not None:
            _now.watch.hold(self.sock)
        return super().getresponse()  # type: ignore[misc]  # as above


class _Plain(_Guard, HTTPConnection):
    pass


class _Secure(_Guard, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_lock = threading.Lock()
_managers: dict[str, urllib3.PoolManager] = {}


def pool(url: str) -> urllib3.PoolManager:
    """Give the connections to an address: straight, or through the proxy that the environment names."""
    proxy = _proxy_of(url)
    with _lock:
        if proxy not in _managers:
            quiet_logger("urllib3.connectionpool")
            new = (
                urllib3.ProxyManager(proxy, num_pools=_HOSTS, maxsize=_KEPT)
                if proxy
                else urllib3.PoolManager(num_pools=_HOSTS, maxsize=_KEPT)
            )
            new.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
            _managers[proxy] = new
        return _managers[proxy]


def _proxy_of(url: str) -> str:
    parts = urlsplit(url)
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(parts.scheme, "") or proxies.get("all", "")
    host = parts.hostname or ""
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return ""
    if not proxy or host == "localhost" or urllib.request.proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _after_fork() -> None:
    # Two processes that talk over one connection would read each other's answers.
    global _lock, _managers
    _lock, _managers = threading.Lock(), {}


os.register_at_fork(after_in_child=_after_fork)
