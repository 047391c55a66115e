"""Notes come back from threads, processes and clusters, once each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from terracube.core.errors import InputError
from terracube.cubes.ledger import Channel, Note, make_report, parse_left_out

NOTES = [Note("a", "red"), Note("b", "red", "broken")]


def tell(channel, number=0):
    """Tell two notes, from wherever this runs."""
    channel.tell(NOTES)
    return number


def test_same_process():
    """What is told twice counts once, and other cubes do not see it."""
    channel = Channel("same-process")
    channel.tell(NOTES)
    channel.tell(NOTES[:1])
    channel.tell([])
    assert channel.gather() == tuple(NOTES)
    assert Channel("another").gather() == ()


def test_other_processes():
    """Notes of other processes of this machine come through a folder that only this user can read."""
    channel = Channel("children")
    foreign = replace(channel, owner="another process")
    foreign.tell(NOTES)
    foreign.tell(NOTES[:1])
    assert channel.gather() == tuple(NOTES)
    assert Path(channel.folder).stat().st_mode & 0o077 == 0


def test_cluster_without_a_common_disk(tmp_path):
    """Workers that do not see the folder send their notes through the scheduler."""
    channel = Channel("cluster", owner="another process", folder=str(tmp_path / "elsewhere"))
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(tell, channel, 7).result() == 7
        assert channel.gather() == tuple(NOTES)


def test_report():
    """What was read and what is missing are told apart."""
    channel = Channel("report")
    channel.tell(NOTES)
    report = make_report(["a", "b", "c"], [Note("c", "", "no date")], channel)
    assert report.read == (("a", "red"),)
    assert [note.item for note in report.failed] == ["b"]
    assert not report.complete
    assert "missing   b/red: broken" in str(report)
    assert "left out  c: no date" in str(report)
    assert report.as_dict()["read"] == [["a", "red"]]
    assert make_report(["a"], [], Channel("fresh")).complete is None
    assert make_report(["a"], [], None).complete is None
    channel = Channel("good")
    channel.tell(NOTES[:1])
    assert make_report(["a"], [], channel).complete is True


def test_attributes_that_are_no_ledger():
    """What cannot be read as a ledger is refused."""
    assert parse_left_out([{"id": "a", "reason": "b"}]) == (Note("a", "", "b"),)
    for told in (3, [{}], ["a"], None):
        with pytest.raises(InputError):
            parse_left_out(told)
