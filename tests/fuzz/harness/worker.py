"""Run parsers on spoilt products, one request after the other, in a process that may die of it.

Started by the tests with a scratch folder as its argument; reads requests as JSON lines and answers each with one.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from mutations import Product, Step, apply, plan
from parsers import MISDEEDS, PARSERS, Parser
from watch import TooSlow, Watch

from terracube.core.errors import TerraCubeError
from terracube.cubes.readers import close_files

_SECONDS = 10.0
"""Processor time of one call."""
_MEMORY = 1 << 30
"""Bytes by which one call may raise the peak of the process."""
_MOST_TRIES = 60


class Bench:
    """A place where products are laid out, spoilt and read."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._count = scratch, 0
        self._case = self._product = self._out = scratch
        self._temporary = scratch / "tmp"
        self._temporary.mkdir(parents=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self._temporary)
        self._seeds: dict[tuple[str, int], tuple[Product, str, Path]] = {}
        self.watch = Watch(seconds=_SECONDS, memory=_MEMORY)

    def seed(self, parser: Parser, number: int) -> tuple[Product, str, Path]:
        """Give a valid product, its main path, and the folder where it lies."""
        key = (parser.name, number)
        if key not in self._seeds:
            folder = self._scratch / "seeds" / parser.name / str(number)
            folder.mkdir(parents=True)
            path = parser.build(number, folder)
            files = sorted(each for each in folder.rglob("*") if each.is_file())
            product = {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}
            self._seeds[key] = product, path.relative_to(folder).as_posix(), folder
        return self._seeds[key]

    def case(self, parser: Parser, number: int) -> tuple[int, list[Step]]:
        """Give of a case which valid product it starts from, and its steps."""
        seed = number % len(parser.seeds)
        return seed, plan(random.Random(f"{parser.name}:{number}"), self.seed(parser, seed)[0])

    def run(self, parser: Parser, product: Product, main: str, like: Path | None = None) -> dict[str, Any]:
        """Lay out a product and run its parser; tell what came of it, and the processor time that it took."""
        started = time.process_time()
        return self._run(parser, product, main, like) | {"seconds": round(time.process_time() - started, 3)}

    def _run(self, parser: Parser, product: Product, main: str, like: Path | None) -> dict[str, Any]:
        self._lay_out(product, like)
        before = self._listed()
        try:
            with warnings.catch_warnings(), self.watch.over(self._out, self._temporary, secret=self._case / "outside"):
                warnings.simplefilter("ignore")
                parser.run(self._product, self._product / main, self._out)
            found = {"outcome": "read"}
        except TooSlow as error:
            found = _finding(f"more than {self.watch.seconds:g} s of processor time", error)
        except TerraCubeError as error:
            found = {"outcome": "refused", "error": type(error).__name__, "message": str(error)[:10_000]}
        except Exception as error:  # noqa: BLE001  # whatever escapes is what is looked for
            found = _finding(_said(error), error)
        if self.watch.seen and found["outcome"] != "finding":
            what = sorted(set(self.watch.seen))[0]
            found = {"outcome": "finding", "what": what, "where": what, "trace": what}
        changed = sorted(before ^ self._listed())
        if changed and found["outcome"] != "finding":
            what = f"the product was changed: {changed[0]}"
            found = {"outcome": "finding", "what": what, "where": "the product was changed", "trace": str(changed)}
        return found

    def _lay_out(self, product: Product, like: Path | None) -> None:
        """Write the files; those that are as in a valid product are linked to it.

        The folder is another one for each case, so that nothing that was kept by its path is taken for it.
        """
        close_files()
        shutil.rmtree(self._case if self._count else self._scratch / "none", ignore_errors=True)
        self._count += 1
        self._case = self._scratch / f"case{self._count}"
        self._product, self._out = self._case / "product", self._case / "out"
        for folder in (self._product, self._out, self._case / "outside"):
            folder.mkdir(parents=True)
        for name in ("secret.tif", "secret.txt"):
            (self._case / "outside" / name).write_bytes(b"secret")
        original = self._contents(like)
        for name, content in product.items():
            path = self._product / name
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                path.parent.mkdir(parents=True, exist_ok=True)
                if like is not None and original.get(name) is content:
                    os.link(like / name, path)
                else:
                    path.write_bytes(content)

    def _contents(self, like: Path | None) -> Product:
        return next((product for product, _, folder in self._seeds.values() if folder == like), {})

    def _listed(self) -> set[tuple[str, int, int]]:
        """Give the files of the case, apart from those that the parser may write."""
        return {
            (str(path.relative_to(self._case)), told.st_size, told.st_mtime_ns)
            for folder in (self._product, self._case / "outside")
            for path in folder.rglob("*")
            if not path.is_dir() and (told := path.lstat())
        }

    def smaller(self, parser: Parser, number: int, where: str) -> tuple[Product, str]:
        """Leave out steps and files of a case as long as the finding stays."""
        seed, steps = self.case(parser, number)
        product, main, folder = self.seed(parser, seed)
        tries = 0

        def still(candidate: Product) -> bool:
            nonlocal tries
            tries += 1
            return tries <= _MOST_TRIES and self.run(parser, candidate, main, folder).get("where") == where

        for step in list(steps):
            fewer = [one for one in steps if one is not step]
            if fewer and still(apply(product, fewer)):
                steps = fewer
        made = apply(product, steps)
        for name in sorted(made, key=lambda name: -len(made[name])):
            rest = {one: content for one, content in made.items() if one != name}
            if rest and still(rest):
                made = rest
        return made, main


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _finding(what: str, error: BaseException) -> dict[str, Any]:
    """Tell a finding: what, and the last place of the project's own code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if f"{os.sep}terracube{os.sep}" in one.filename] or list(frames)[-1:]
    last = ours[-1] if ours else None
    place = f"{Path(last.filename).stem}.{last.name}:{last.lineno}" if last else "?"
    trace = "".join(traceback.format_exception(error, limit=-8))[-3000:]
    return {"outcome": "finding", "what": what, "where": f"{type(error).__name__} at {place}", "trace": trace}


def _pack(product: Product, told: dict[str, str]) -> bytes:
    """Write a spoilt product as a zip archive, whose comment tells what came of it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(product.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
        archive.comment = json.dumps(told).encode("ascii")[:60_000]
    return out.getvalue()


def _unpack(content: bytes) -> tuple[Product, dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        product = {info.filename: archive.read(info) for info in archive.infolist()}
        return product, json.loads(archive.comment)


def answer(bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked: ``seed``, ``fuzz``, ``replay`` or ``keep``."""
    parser = (PARSERS | MISDEEDS)[request["parser"]]
    bench.watch.seconds = request.get("seconds", _SECONDS)
    if request["do"] == "seed":
        product, main, folder = bench.seed(parser, request["number"])
        return bench.run(parser, product, main, folder)
    if request["do"] == "fuzz":
        seed, steps = bench.case(parser, request["number"])
        product, main, folder = bench.seed(parser, seed)
        return bench.run(parser, apply(product, steps), main, folder) | {"steps": [name for name, _ in steps]}
    if request["do"] == "replay":
        product, told = _unpack(Path(request["path"]).read_bytes())
        return bench.run(parser, product, told["main"])
    if request["small"]:
        product, main = bench.smaller(parser, request["number"], request["where"])
    else:  # whoever runs this dies of it
        seed, steps = bench.case(parser, request["number"])
        product, main = apply(bench.seed(parser, seed)[0], steps), bench.seed(parser, seed)[1]
    Path(request["path"]).write_bytes(_pack(product, {"main": main, "what": request["what"]}))
    return {"outcome": "kept"}


def serve(scratch: Path) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    faulthandler.enable()
    bench = Bench(scratch)
    for line in sys.stdin:
        print(json.dumps(answer(bench, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]).resolve())
