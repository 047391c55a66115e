"""Where a cube is kept, and who may write there at once."""

from __future__ import annotations

import datetime as dt
import os
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import icechunk

from terracube.core.errors import (
    AssetError,
    ConflictError,
    InputError,
    NotFoundError,
    StorageError,
    TerraCubeError,
    VersionError,
)
from terracube.core.files import atomic_path, storage_error
from terracube.cubes.access.redact import redact, remember
from terracube.cubes.access.s3 import AnonymousS3, S3Keys
from terracube.cubes.access.signing import secret

if sys.platform != "win32":
    import fcntl

_COMMIT, _WRITERS = "commit.lock", "writers.lock"
_KEYS_LAST = dt.timedelta(hours=1)
# A date's chunk references lie in few manifests, so that an append rewrites those and not the references of all dates.
_REFERENCES_PER_MANIFEST = 4096
_QUIET = "warn,icechunk_arrow_object_store=error,icechunk_storage::readback=error"


def _empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


class _Endpoint(TypedDict, total=False):
    endpoint_url: str
    allow_http: bool
    force_path_style: bool


@dataclass(frozen=True, slots=True)
class _Credentials:
    """Takes keys from the environment where they are needed, so that none is stored or travels with a task."""

    signer: S3Keys

    def __call__(self) -> icechunk.S3StaticCredentials:
        """Give the keys."""
        session = os.environ.get(self.signer.session_env) if self.signer.session_env else None
        if session:
            remember(session)
        key, word = secret(self.signer.key_env), secret(self.signer.secret_env)
        # Asked for again within the hour, as temporary keys are exchanged.
        until = dt.datetime.now(dt.UTC) + _KEYS_LAST
        return icechunk.S3StaticCredentials(key, word, session or None, until)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, or a prefix in an S3 store; small, without secrets, and safe to send to other processes."""

    address: str
    """Absolute path of a folder, or ``s3://bucket/prefix``."""
    signer: S3Keys | AnonymousS3 | None = None
    """Names the endpoint of an S3 store and the variables with its keys; ``None``: as S3 clients find them."""

    @property
    def folder(self) -> Path | None:
        """The folder, if it is one."""
        return None if "://" in self.address else Path(self.address)

    def storage(self) -> icechunk.Storage:
        """Give the place as icechunk knows it."""
        if self.folder is not None:
            return icechunk.local_filesystem_storage(self.address)
        parts = urllib.parse.urlsplit(self.address)
        bucket, prefix = parts.netloc, parts.path.strip("/")
        if self.signer is None:
            return icechunk.s3_storage(bucket=bucket, prefix=prefix, from_env=True)
        if isinstance(self.signer, AnonymousS3):
            return icechunk.s3_storage(bucket=bucket, prefix=prefix, anonymous=True, **_endpoint(self.signer.endpoint))
        return icechunk.s3_storage(
            bucket=bucket,
            prefix=prefix,
            region=self.signer.region,
            get_credentials=_Credentials(self.signer),
            requester_pays=self.signer.requester_pays,
            **_endpoint(self.signer.endpoint.replace("{region}", self.signer.region)),
        )

    def create(self, chunks_per_date: int) -> icechunk.Repository:
        """Make an empty store.

        Raises
        ------
        StorageError
            If the place refuses.
        """
        dates = max(1, _REFERENCES_PER_MANIFEST // chunks_per_date)
        splitting = icechunk.ManifestSplittingConfig.from_dict(
            {icechunk.ManifestSplitCondition.AnyArray(): {icechunk.ManifestSplitDimCondition.Axis(0): dates}}
        )
        config = icechunk.RepositoryConfig(manifest=icechunk.ManifestConfig(splitting=splitting))
        with told(self.address), quiet():
            return icechunk.Repository.create(self.storage(), config=config)

    def open(self) -> icechunk.Repository:
        """Open the store.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with told(self.address), quiet():
            return icechunk.Repository.open(self.storage())

    @contextmanager
    def staged(self) -> Iterator[Place]:
        """Give a place to create a cube in; a folder gets its name only when the cube is whole.

        Raises
        ------
        ConflictError
            If something is there already.
        """
        if self.folder is None:
            yield self
            return
        if self.folder.is_symlink() or (self.folder.exists() and not _empty(self.folder)):
            raise ConflictError(
                "something is kept here already", where=self.address, todo="open it, or choose a new folder"
            )
        with atomic_path(self.folder) as temporary:
            yield Place(str(temporary))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Tell that an append is under way, so that nobody clears its uncommitted chunks away."""
        with self._lock(_WRITERS, exclusive=False):
            yield

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Be the only one who commits.

        On a local disk icechunk's commit is not atomic between processes; the kernel's lock makes it so, and falls
        with the process that holds it, however it ends. An S3 store decides by itself which of two commits wins.
        """
        with self._lock(_COMMIT, exclusive=True):
            yield

    @contextmanager
    def clearing(self) -> Iterator[None]:
        """Be alone: no append under way.

        Raises
        ------
        ConflictError
            If an append is under way.
        """
        with self._lock(_WRITERS, exclusive=True, wait=False), self._lock(_COMMIT, exclusive=True):
            yield

    @contextmanager
    def _lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        if self.folder is None or sys.platform == "win32":
            yield
            return
        path = self.folder / name
        how = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            fcntl.flock(handle, how)
            yield
        except BlockingIOError as error:
            raise ConflictError(
                "an append is under way", where=self.address, todo="try again when it has ended"
            ) from error
        finally:
            os.close(handle)


def _endpoint(address: str) -> _Endpoint:
    """Say where a store is asked; the usual one of S3 needs no saying."""
    if address.endswith(".amazonaws.com"):
        return {}
    plain = address.replace("{bucket}.", "")
    return {
        "endpoint_url": plain,
        "allow_http": plain.startswith("http://"),
        "force_path_style": "{bucket}." not in address,
    }


def to_place(given: str | os.PathLike[str], signer: S3Keys | AnonymousS3 | None = None) -> Place:
    """Accept a folder, or ``s3://bucket/prefix`` with the signer that names its endpoint and keys.

    Raises
    ------
    InputError
        If it is neither.
    """
    text = os.fspath(given)
    if "://" not in text and signer is None:
        return Place(os.path.abspath(text))
    parts = urllib.parse.urlsplit(text)
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/") or not plain:
        raise InputError(
            "a cube is kept in a folder or an S3 store",
            expected="a path, or s3://bucket/prefix",
            got=redact(text)[:200],
        )
    return Place(text.rstrip("/"), signer)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the one warning that does not hold here.

    icechunk says of every local store that its commits are not safe from each other; here they are, by a lock (see
    :meth:`Place.committing`). A user's own choice of what is logged stands.
    """
    if "ICECHUNK_LOG" in os.environ:
        yield
        return
    icechunk.set_logs_filter(_QUIET)
    try:
        yield
    finally:
        icechunk.set_logs_filter(None)


_CLASSES: tuple[tuple[type[icechunk.IcechunkError], type[TerraCubeError]], ...] = (
    (icechunk.ConflictError, ConflictError),
    (icechunk.AlreadyExistsError, ConflictError),
    (icechunk.NotFoundError, NotFoundError),
    (icechunk.InvalidInputError, InputError),
    (icechunk.StorageError, StorageError),
    (icechunk.ReadOnlyError, StorageError),
    (icechunk.FormatError, AssetError),
)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what icechunk raises into errors of this project."""
    try:
        yield
    except icechunk.IcechunkError as error:
        reason = redact(str(error).partition("\n")[0])[:300]
        if str(error.kind) == "unsupported-spec-version":
            raise VersionError("the store is of a newer format", where=where, got=reason) from error
        if str(error.kind) == "parent-directory-not-clean":
            raise ConflictError("something is kept here already", where=where, got=reason) from error
        for theirs, ours in _CLASSES:
            if isinstance(error, theirs):
                raise ours("the store of the cube refused", where=where, got=reason) from error
        raise AssetError("the store of the cube failed", where=where, got=reason) from error
