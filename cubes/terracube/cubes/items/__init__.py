"""STAC items of any shape and provider, and what they say of their bands, grids and files."""

from terracube.cubes.items.view import ItemView, to_items

__all__ = ["ItemView", "to_items"]
