"""The API's room: what HTTP needs to know of the rest. So far the one table of errors."""

from terracube.api.errors import problem, status_of

__all__ = ["problem", "status_of"]
