"""A cube that grows: dates are appended, and every state that it ever had can be opened again."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import icechunk
import pystac
import xarray as xr

from terracube.core.errors import ConflictError, EmptyResultError, InputError, NotFoundError
from terracube.core.files import safe_name
from terracube.cubes.access.s3 import AnonymousS3, S3Keys
from terracube.cubes.grid import Grid
from terracube.cubes.storage.dataset import write_zarr
from terracube.cubes.storage.versioned.history import CubeDiff, Snapshot, compare, newest_first, record
from terracube.cubes.storage.versioned.incoming import Incoming, Variables, layout_of, missing_of, to_incoming
from terracube.cubes.storage.versioned.layout import DEFAULT_CHUNK, Head, Layout, create_arrays, read_head
from terracube.cubes.storage.versioned.made_of import check_codes
from terracube.cubes.storage.versioned.merge import check_rule
from terracube.cubes.storage.versioned.place import Place, to_place, told
from terracube.cubes.storage.versioned.reading import as_dataset, head_at
from terracube.cubes.storage.versioned.variable import CubeVariable
from terracube.cubes.storage.versioned.verify import verify_attempt, verify_head
from terracube.cubes.storage.versioned.writing import Attempt, rewrite, write

_BRANCH = "main"
_TRIES = 16
_MAX_MESSAGE = 4096
# How old an uncommitted chunk in an S3 store must be to belong to an append that was killed and not to a slow one.
_GRACE = dt.timedelta(days=1)
_LIKE_AN_ID = re.compile("[0-9A-Z]{20}")


class VersionedCube:
    """A time series (time, y, x) of one or more variables on one grid, in a folder or an S3 store, on icechunk.

    Appending is atomic: a reader sees all of an append or nothing, and one that is killed leaves the cube as it was.
    Whatever the order in which whole dates arrive, the cube is the same to the bit. Several processes may append at
    once.

    Examples
    --------
    >>> import tempfile, numpy as np, xarray as xr
    >>> from terracube.cubes.grid import YX, Grid, Pair
    >>> grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-500000, 50000), YX(2, 3))
    >>> y, x = grid.centres()
    >>> coords = {"time": np.array(["2023-08-15"], "datetime64[ns]"), "y": y, "x": x}
    >>> day = xr.Dataset({"red": (("time", "y", "x"), np.ones((1, 2, 3), "float32"))}, coords)
    >>> day = day.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cube = VersionedCube.create(folder, grid=grid, variables={"red": "float32"})
    ...     first = cube.append(day, message="first")
    ...     late = cube.append(day.assign_coords(time=day.time - np.timedelta64(5, "D")))
    ...     print(cube.dataset().time.values.astype("datetime64[D]"), cube.at(first.id).sizes["time"])
    ['2023-08-10' '2023-08-15'] 1
    """

    def __init__(self, place: Place, layout: Layout) -> None:
        self._place = place
        self._layout = layout

    @classmethod
    def create(
        cls,
        where: str | os.PathLike[str],
        *,
        variables: Variables,
        grid: Grid | None = None,
        chunks: int = DEFAULT_CHUNK,
        signer: S3Keys | AnonymousS3 | None = None,
    ) -> VersionedCube:
        """Make a cube without dates.

        Parameters
        ----------
        where : path or str
            A folder that does not exist yet or is empty, or ``s3://bucket/prefix``.
        variables : mapping of name to CubeVariable, its fields or the name of a type; or xarray.Dataset
            What the cube holds; a dataset gives its own variables (its pixels are not appended).
        grid : Grid
            Pixels of the cube; may be left out if a dataset is given, and is then that of the dataset.
        chunks : int
            Pixels along each side of a chunk. A chunk holds one date.
        signer : S3Keys or AnonymousS3, optional
            Names the endpoint of an S3 store and the environment variables with its keys; by default both are found
            as other S3 clients find them.

        Raises
        ------
        ConflictError
            If something is kept there already.
        InputError
            If a name, type, nodata value or size cannot be used.
        """
        target = to_place(where, signer)
        layout = layout_of(variables, grid, chunks)
        rows, cols = layout.counts
        with target.staged() as staged:
            repository = staged.create(rows * cols)
            with told(target.address):
                session = repository.writable_session(_BRANCH)
                create_arrays(session.store, layout)
                session.commit("cube created")
        return cls(target, layout)

    @classmethod
    def open(cls, where: str | os.PathLike[str], *, signer: S3Keys | AnonymousS3 | None = None) -> VersionedCube:
        """Open a cube that is there.

        Raises
        ------
        NotFoundError
            If there is none.
        VersionError
            If a newer version of the software wrote it.
        """
        place = to_place(where, signer)
        repository = place.open()
        with told(place.address):
            return cls(place, head_at(place, repository.lookup_branch(_BRANCH)).layout)

    @property
    def grid(self) -> Grid:
        """Pixels of the cube."""
        return self._layout.grid

    @property
    def variables(self) -> Mapping[str, CubeVariable]:
        """What the cube holds."""
        return dict(self._layout.variables)

    @property
    def chunk(self) -> int:
        """Pixels along each side of a chunk."""
        return self._layout.chunk

    def __repr__(self) -> str:
        """Name the place, the variables and the size."""
        names = ", ".join(self._layout.variables)
        return f"VersionedCube({self._place.address}: {names}; {self.grid.shape.y} x {self.grid.shape.x})"

    def append(
        self,
        source: xr.Dataset | Iterable[pystac.Item],
        *,
        message: str = "",
        on_conflict: str | None = None,
        verify: bool = False,
        **load_options: Any,
    ) -> Snapshot:
        """Add dates, or more pixels of dates that are there, and commit them together.

        Parameters
        ----------
        source : xarray.Dataset or items
            A dataset (time, y, x), lazy or not, with the cube's variables, CRS and pixels, in any part of its grid and
            any order of dates; or STAC items, which are loaded on the cube's grid.
        message : str
            What a person reads in the history.
        on_conflict : "replace", "keep", "overwrite" or "raise", optional
            What happens in pixels of a date that is there. ``replace``: new values replace old ones, where new ones
            are missing the old stay. ``keep``: only pixels missing in the cube are filled. ``overwrite``: the new
            ones go in as they are, missing ones too. ``raise``: refused if both have a value, and not the same.
            Where nothing is said, a dataset replaces, and so do items that hold all items that the date was made of;
            other items of a date that is there are refused.
        verify : bool
            Read each written chunk back before the commit.
        **load_options
            With items: passed on to :func:`terracube.cubes.load`.

        Returns
        -------
        Snapshot
            The new state; the present one if the cube holds all of it already.

        Raises
        ------
        InputError, MetadataError
            If the dataset does not fit; the cube is untouched.
        ConflictError
            If ``on_conflict="raise"`` finds other values; if items leave out some of which a date that is there was
            made, and no rule is said; or if others kept committing to an S3 store all the time.

        Notes
        -----
        Whole dates, all items of a date in one append and grouped by day, moment or scene, may come in any order, and
        any of them again with the same items and options, as long as all can be read: the cube is the same to the bit.
        Whoever gives parts of a date's items one after the other has to say ``on_conflict``, and the order of these
        appends then counts.

        What could not be read with ``on_error="skip"`` is told in the attributes of the snapshot, as
        ``terracube:missing``.
        """
        rule = "replace" if on_conflict is None else on_conflict
        check_rule(rule)
        if len(message) > _MAX_MESSAGE:
            raise InputError("the message is too long", where="message", expected=f"<= {_MAX_MESSAGE} characters")
        dataset, items = self._dataset_of(source, load_options)
        incoming = to_incoming(dataset, self._layout, items)
        with self._place.writing(), told(self._place.address):
            return self._append(incoming, message, rule, verify, whole_dates=on_conflict is None and items is not None)

    def _dataset_of(
        self, source: xr.Dataset | Iterable[pystac.Item], load_options: dict[str, Any]
    ) -> tuple[xr.Dataset, list[list[str]] | None]:
        """Give the dataset, and where it is loaded here the ids of the items of each of its times."""
        if isinstance(source, xr.Dataset):
            if load_options:
                raise InputError("a dataset is not loaded", where="append", got=", ".join(load_options))
            return source, None
        from terracube.cubes.layout import cube_facts  # the loader imports storage
        from terracube.cubes.load import load

        options: dict[str, Any] = {"bands": list(self._layout.variables), "chunks": self.chunk}
        dataset = load(source, grid=self.grid, **(options | load_options))
        return dataset, cube_facts(dataset)["items"]

    def _append(self, incoming: Incoming, message: str, rule: str, verify: bool, *, whole_dates: bool) -> Snapshot:
        session, head = self._writable()
        if whole_dates:
            check_codes(head, incoming.items)
        attempt = write(session, head, incoming, rule)
        with self._place.committing():
            for _ in range(_TRIES):
                if attempt.empty:
                    return self.history(limit=1)[0]
                if verify:
                    verify_attempt(attempt)
                try:
                    return self._commit(attempt, message, incoming.attributes | missing_of(incoming.dataset))
                except icechunk.ConflictError:
                    session, head = self._writable()
                    if whole_dates:
                        check_codes(head, incoming.items)
                    attempt = rewrite(session, head, incoming, rule, attempt)
        raise ConflictError(
            "others committed to the cube all the time",
            where=self._place.address,
            todo="append again",
            got=f"{_TRIES} tries",
        )

    def _writable(self) -> tuple[icechunk.Session, Head]:
        session = self._place.open().writable_session(_BRANCH)
        return session, read_head(session.store, session.snapshot_id, self._place.address)

    def _commit(self, attempt: Attempt, message: str, attributes: Mapping[str, Any]) -> Snapshot:
        text = message or f"{len(attempt.target.slots)} dates appended"
        attempt.target.session.commit(text, record(attempt, attributes))
        return self.history(limit=1)[0]

    def dataset(self) -> xr.Dataset:
        """Give the newest state, lazily, sorted by time: one task per chunk and date."""
        return as_dataset(self._place, self._head(None))

    def at(self, when: str | dt.datetime) -> xr.Dataset:
        """Give a former state, lazily.

        Parameters
        ----------
        when : str or datetime
            Id of a snapshot, name of a tag, or a moment with time zone: the state that was the newest then.

        Raises
        ------
        NotFoundError
            If there is no such state, or no longer.
        """
        return as_dataset(self._place, self._head(when))

    def _head(self, when: str | dt.datetime | None) -> Head:
        return head_at(self._place, self._resolve(when))

    def _resolve(self, when: str | dt.datetime | None) -> str:
        repository = self._place.open()
        with told(self._place.address):
            if isinstance(when, dt.datetime):
                found = repository.readonly_session(branch=_BRANCH, as_of=_aware(when)).snapshot_id
            elif when is None:
                found = repository.lookup_branch(_BRANCH)
            else:
                found = repository.lookup_tag(when) if when in repository.list_tags() else when
            if repository.lookup_snapshot(found).parent_id is None:
                raise NotFoundError("the cube has no state of that time", where=self._place.address, got=str(when))
            return found

    def history(self, limit: int | None = None) -> list[Snapshot]:
        """Give the states that can be opened, newest first; at most ``limit``."""
        repository = self._place.open()
        with told(self._place.address):
            tip = repository.lookup_branch(_BRANCH)
            times = head_at(self._place, tip).times
            return newest_first(repository.ancestry(snapshot_id=tip), times, limit)

    def diff(self, one: str | dt.datetime, other: str | dt.datetime | None = None) -> CubeDiff:
        """Tell what differs from one state to another (default: the newest).

        Dates are compared by the digests of their chunks, and pixels are read where these differ.
        """
        with told(self._place.address):
            return compare(self._head(one), self._head(other))

    def tag(self, name: str, when: str | dt.datetime | None = None) -> None:
        """Give a state (default: the newest) a name for good; it is then never cleared away.

        Raises
        ------
        ConflictError
            If the name is, or was, that of another state.
        InputError, HostileInputError
            If it cannot be a name, or could be taken for the id of a snapshot.
        """
        if _LIKE_AN_ID.fullmatch(safe_name(name, what="tag")):
            raise InputError("this name looks like the id of a snapshot", where="tag", got=name)
        found = self._resolve(when)
        repository = self._place.open()
        with self._place.committing(), told(self._place.address):
            repository.create_tag(name, found)

    def tags(self) -> dict[str, str]:
        """Give the names of states, each with the id of its snapshot."""
        repository = self._place.open()
        with told(self._place.address):
            return {name: repository.lookup_tag(name) for name in sorted(repository.list_tags())}

    def expire(self, older_than: dt.datetime) -> tuple[str, ...]:
        """Forget states from before a moment, and free their space; the newest and tagged ones stay.

        Chunks of appends that were killed are freed too. Datasets that were opened from a forgotten state can no
        longer be read.

        Returns
        -------
        tuple of str
            Ids of the snapshots that are no longer in the history.

        Raises
        ------
        ConflictError
            If an append is under way in this folder.
        """
        moment = _aware(older_than)
        # In an S3 store nobody knows of appends under way elsewhere: chunks that may be theirs are left alone.
        free = moment if self._place.folder is not None else min(moment, dt.datetime.now(dt.UTC) - _GRACE)
        with self._place.clearing(), told(self._place.address):
            repository = self._place.open()
            expired = repository.expire_snapshots(moment)
            repository.garbage_collect(free)
        return tuple(sorted(expired))

    def verify(self, when: str | dt.datetime | None = None) -> int:
        """Read every chunk of a state (default: the newest), compare it with its digest, and give their number.

        Raises
        ------
        IntegrityError
            Naming the first chunk that is not the one that was written.
        """
        head = self._head(when)
        with told(self._place.address):
            return verify_head(head)

    def export_zarr(self, path: str | os.PathLike[str], when: str | dt.datetime | None = None, **options: Any) -> Path:
        """Write a state (default: the newest) as plain Zarr version 3, for readers without icechunk.

        Parameters
        ----------
        path : path
            A folder that does not exist yet; it appears when it is whole.
        when : str or datetime, optional
            As in :meth:`at`.
        **options
            Passed on to :func:`terracube.cubes.storage.write_zarr`: levels of a pyramid, chunks, and so on.

        Raises
        ------
        EmptyResultError
            If the cube has no date.
        """
        dataset = as_dataset(self._place, self._head(when))
        if not dataset.sizes["time"]:
            raise EmptyResultError("the cube has no date yet", where=self._place.address)
        return write_zarr(dataset, path, **options)


def _aware(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        raise InputError(
            "the moment has no time zone", expected="like datetime.now(UTC)", got=str(moment), todo="add tzinfo=UTC"
        )
    return moment
