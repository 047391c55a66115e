"""Stores: what keeps the searchable side of a catalogue."""

from terracube.stac.stores.sqlite import SqliteStore, Transaction

__all__ = ["SqliteStore", "Transaction"]
