"""The bytes of a header: in few reads, and never more than a header can need."""

from __future__ import annotations

from typing import Protocol

from terracube.core.errors import AssetError, HostileInputError

# What is read first: of a server all that it gave with the first answer, of this machine what most headers take.
REMOTE_HEAD, LOCAL_HEAD = 32 << 10, 8 << 10
# What is read beyond the head: at once at least, and in all at most.
_FAR_BYTES = 8 << 10
_MAX_FAR_BYTES = 32 << 20


class Bytes(Protocol):
    """A file that can be read anywhere."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``."""


class Peek:
    """The first bytes of a file, and what is asked for further on."""

    __slots__ = ("_at", "_far", "_source", "_spent", "head", "name")

    def __init__(self, source: Bytes, head: int = REMOTE_HEAD) -> None:
        self._source, self.name = source, source.name
        self.head = source.read(0, min(source.size, head))
        self._at, self._far, self._spent = 0, b"", 0

    def get(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``.

        Raises
        ------
        AssetError
            If the file ends before.
        HostileInputError
            If more is asked for than any header needs.
        """
        if stop <= len(self.head):
            return self.head[start:stop]
        if start < self._at or stop > self._at + len(self._far):
            self._read(start, stop)
        return self._far[start - self._at : stop - self._at]

    def _read(self, start: int, stop: int) -> None:
        size = self._source.size
        if stop > size:
            raise AssetError(
                "the header points beyond the end of the file",
                where=self.name,
                expected=f"bytes {start} to {stop}",
                got=f"{size} bytes in all",
                todo="fetch the file again",
            )
        end = min(size, max(stop, start + _FAR_BYTES))
        self._spent += end - start
        if self._spent > _MAX_FAR_BYTES:
            raise HostileInputError("the header has no end", where=self.name, got=f"{self._spent} bytes of it")
        self._at, self._far = start, self._source.read(start, end)
