"""The list of products: what each needs, and what shows that it is right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from terracube.core.errors import InputError
from terracube.processing.water.assembly import costs
from terracube.processing.water.products import describe
from terracube.processing.water.retrievals import evidence, get_retrieval, retrieval_names
from terracube.processing.water.retrievals.base import EVIDENCE_KINDS
from terracube.processing.water.sensors import load_water_sensor, water_sensor_names


class TestDescribe:
    """The list of products."""

    def test_all(self) -> None:
        """One row per product, with unit, quantity, needs and evidence."""
        table = describe()
        assert tuple(table.index) == retrieval_names()
        assert table.loc["spm_nechad2010", "quantity"] == "rhow"
        assert str(table.loc["spm_nechad2010", "evidence"]).endswith("of 72")

    def test_of_a_sensor(self) -> None:
        """Only what its bands allow, with the coefficients it takes: just those that can be made."""
        for sensor in ("S2A_MSI", "L5_TM"):
            known = load_water_sensor(sensor)
            table = describe(sensor=sensor)
            lost = costs(retrieval_names(), known, list(known.bands), "rhow")
            assert set(table.index) == set(retrieval_names()) - set(lost)
            assert table.coefficients.str.len().gt(0).all()
            assert table.source.str.len().gt(0).all()

    def test_none_of_it(self) -> None:
        """A product that the sensor cannot make gives an empty table, an unknown one is refused with near names."""
        assert len(describe("chl_gons", sensor="L5_TM")) == 0
        with pytest.raises(InputError, match="chl_gons"):
            describe("chl_gnos")
        with pytest.raises(InputError, match="S2A_MSI"):
            describe(sensor="S2")


class TestEvidence:
    """No product without a test that shows that it is right."""

    def test_registry_and_evidence_are_the_same_list(self) -> None:
        """Every product has evidence, and evidence is of products."""
        assert set(evidence()) == set(retrieval_names())

    def test_every_test_that_is_named_exists(self, repository: Path) -> None:
        """The files are parsed: the function is there; n of N is a count."""
        functions: dict[str, set[str]] = {}
        for name, one in evidence().items():
            file, _, rest = one.test.partition("::")
            if file not in functions:
                tree = ast.parse((repository / file).read_text(encoding="utf-8"))
                functions[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert rest.split("::")[-1] in functions[file], name
            assert rest.split("::")[-1].startswith("test_"), name
            assert 0 < one.n <= one.of, name
            assert one.kind in EVIDENCE_KINDS, name

    def test_every_product_can_be_made_by_some_sensor(self) -> None:
        """None is listed that no sensor has bands and coefficients for; none lacks title, unit or source."""
        for name in retrieval_names():
            one = get_retrieval(name)
            able = [sensor for sensor in map(load_water_sensor, water_sensor_names())
                    if not costs([name], sensor, list(sensor.bands), "rhow")]  # fmt: skip
            assert able, name
            assert one.title, name
            assert one.unit, name
            assert all(one.coefficient_set(sensor).source for sensor in able), name
