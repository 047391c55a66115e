"""How a valid product is spoilt: deterministic from a number, so that each case can be made again.

A case is a list of steps, each the name of a mutation and a number; leaving one out keeps the others what they are, so
that a case can be made smaller.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import spoiling
import structured
from hostile import ARCHIVES, JSON, TIF, XML, YAML
from spoiling import Product

Step = tuple[str, int]


def plan(chance: random.Random, product: Product) -> list[Step]:
    """Choose the steps by which a product is spoilt: those that fit its files, those that need valid files first."""
    fitting = [name for name, one in MUTATIONS.items() if not one.ends or _named(product, one.ends)]
    count = min(1 + int(chance.expovariate(1.2)), 6)
    names = chance.choices(fitting, weights=[MUTATIONS[name].weight for name in fitting], k=count)
    steps = [(name, chance.randrange(2**32)) for name in names]
    return sorted(steps, key=lambda step: not MUTATIONS[step[0]].first)


def _named(product: Product, ends: tuple[str, ...]) -> bool:
    return any(name.lower().endswith(ends) for name in product)


def apply(product: Product, steps: list[Step]) -> Product:
    """Spoil a product."""
    made = dict(product)
    for name, number in steps:
        MUTATIONS[name].spoil(made, random.Random(number))
    return made


@dataclass(frozen=True)
class Mutation:
    """A way in which products are spoilt."""

    spoil: Callable[[Product, random.Random], None]
    weight: int
    """How often it is chosen."""
    ends: tuple[str, ...] = ()
    """Endings of files of which one must be there."""
    first: bool = False
    """Whether it needs files that are still valid: the libraries that write them may not survive others."""


MUTATIONS = {
    "bytes": Mutation(spoiling.bytes_, 5),
    "words": Mutation(spoiling.words, 10),
    "numbers": Mutation(spoiling.numbers, 6),
    "lines": Mutation(spoiling.lines_, 4),
    "elements": Mutation(spoiling.elements, 8, XML),
    "json": Mutation(spoiling.json_, 10, JSON),
    "encoding": Mutation(spoiling.encoding, 1),
    "doctype": Mutation(spoiling.doctype, 1, (*XML, *YAML)),
    "files": Mutation(spoiling.files, 4),
    "vrt": Mutation(structured.other_format, 1, (*TIF, ".jp2", ".nc")),
    "tif": Mutation(structured.tif, 5, TIF, first=True),
    "netcdf": Mutation(structured.netcdf, 20, (".nc",), first=True),
    "archive": Mutation(structured.archive_, 20, ARCHIVES, first=True),
}
