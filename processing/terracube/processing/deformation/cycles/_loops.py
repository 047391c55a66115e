"""Loops of pairs: all triplets of a network, and what longer loops are needed to complete them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from terracube.processing.deformation.network import Network
from terracube.processing.kernels.closure import LoopTable

type Loop = tuple[tuple[int, int], ...]
"""Pairs, each with 1, or -1 where the loop runs against it."""


@dataclass(frozen=True, slots=True)
class Loops:
    """All triplets of a network, and as many longer loops as tell all that closures can."""

    triplets: tuple[Loop, ...]
    longer: tuple[Loop, ...]

    @property
    def table(self) -> LoopTable:
        """Both, in this order, as the kernels take them."""
        return table_of([*self.triplets, *self.longer])


def loops_of(network: Network) -> Loops:
    """Find the loops of a network.

    Returns
    -------
    Loops
        Triplets (i, j), (j, k), (i, k) in the order of their dates. Of longer loops, the shortest one through each pair
        that is in no triplet and, in turn, through others, as long as they add to a basis of all cycles (rank over the
        integers modulo two); a pair that is in no loop is in none of these.

    Examples
    --------
    >>> from terracube.processing.deformation.network import network_of
    >>> days = [f"2020-01-{day:02}" for day in (1, 2, 3, 4, 5)]
    >>> ends = [(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (2, 4)]
    >>> loops_of(network_of([(days[i], days[j]) for i, j in ends])[0]).triplets[0]
    ((0, 1), (2, 1), (1, -1))
    """
    pairs = [(int(i), int(j)) for i, j in network.pairs]
    number = {ends: m for m, ends in enumerate(pairs)}
    triplets = tuple(_triplets(pairs, number))
    cycles = len(pairs) - len(network.times) + int(network.components().max()) + 1
    basis: dict[int, int] = {}
    for loop in triplets:
        _adds(loop, basis)
    inside = {m for loop in triplets for m, _ in loop}
    near = _neighbours(pairs, len(network.times))
    longer: list[Loop] = []
    for m in sorted(range(len(pairs)), key=lambda m: (m in inside, m)):
        if len(basis) == cycles:
            break
        found = _around(m, pairs, near)
        if found is not None and _adds(found, basis):
            longer.append(found)
    longer.extend(_rest(pairs, near, basis, cycles))
    return Loops(triplets, tuple(longer))


def table_of(loops: list[Loop]) -> LoopTable:
    """Make a list of loops one that the kernels take."""
    flat = [entry for loop in loops for entry in loop]
    return LoopTable(
        starts=np.cumsum([0, *(len(loop) for loop in loops)]).astype(np.int32),
        members=np.array([m for m, _ in flat], np.int32),
        signs=np.array([sign for _, sign in flat], np.float32),
    )


def _triplets(pairs: list[tuple[int, int]], number: dict[tuple[int, int], int]) -> Iterator[Loop]:
    after: dict[int, list[int]] = {}
    for i, j in pairs:
        after.setdefault(i, []).append(j)
    for i, j in pairs:
        for k in after.get(j, []):
            if (i, k) in number:
                yield (number[i, j], 1), (number[j, k], 1), (number[i, k], -1)


def _adds(loop: Loop, basis: dict[int, int]) -> bool:
    """Tell whether a loop is no sum of those before it, modulo two; pairs are bits."""
    bits = sum(1 << m for m, _ in loop)
    while bits:
        top = bits.bit_length()
        if top not in basis:
            basis[top] = bits
            return True
        bits ^= basis[top]
    return False


def _neighbours(pairs: list[tuple[int, int]], dates: int) -> list[list[tuple[int, int, int]]]:
    """Give, for each date, the others that a pair joins it to: date, pair, sign."""
    near: list[list[tuple[int, int, int]]] = [[] for _ in range(dates)]
    for m, (i, j) in enumerate(pairs):
        near[i].append((j, m, 1))
        near[j].append((i, m, -1))
    return near


def _around(m: int, pairs: list[tuple[int, int]], near: list[list[tuple[int, int, int]]]) -> Loop | None:
    """Find the shortest loop through a pair, by a search in breadth from its second date back to the first."""
    goal, start = pairs[m]
    came: dict[int, tuple[int, int, int]] = {start: (-1, -1, 0)}
    queue = deque([start])
    while queue and goal not in came:
        date = queue.popleft()
        for other, pair, sign in near[date]:
            if pair != m and other not in came:
                came[other] = (date, pair, sign)
                queue.append(other)
    return ((m, 1), *_path(came, goal)) if goal in came else None


def _path(came: dict[int, tuple[int, int, int]], date: int) -> list[tuple[int, int]]:
    found = []
    while came[date][1] >= 0:
        before, pair, sign = came[date]
        found.append((pair, sign))
        date = before
    return found[::-1]


def _rest(
    pairs: list[tuple[int, int]], near: list[list[tuple[int, int, int]]], basis: dict[int, int], cycles: int
) -> Iterator[Loop]:
    """Complete a basis by the loops that each pair makes with the paths of a tree, which always do."""
    came: dict[int, tuple[int, int, int]] = {}
    for root in range(len(near)):
        if root in came:
            continue
        came[root] = (-1, -1, 0)
        queue = deque([root])
        while queue:
            date = queue.popleft()
            for other, pair, sign in near[date]:
                if other not in came:
                    came[other] = (date, pair, sign)
                    queue.append(other)
    for m, (i, j) in enumerate(pairs):
        if len(basis) == cycles:
            return
        there, back = dict(_path(came, i)), dict(_path(came, j))
        both = there.keys() & back.keys()
        loop = (
            *((pair, sign) for pair, sign in there.items() if pair not in both),
            (m, 1),
            *((pair, -sign) for pair, sign in back.items() if pair not in both),
        )
        if m not in there and m not in back and _adds(loop, basis):
            yield loop
