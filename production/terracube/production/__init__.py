"""Production: a request becomes a published, versioned, reproducible product."""

from terracube.production.reproduce import Comparison, Reproduction, reproduce
from terracube.production.request import RunRequest, read_request, to_request
from terracube.production.run import RunOptions, RunResult, run

__all__ = [
    "Comparison",
    "Reproduction",
    "RunOptions",
    "RunRequest",
    "RunResult",
    "read_request",
    "reproduce",
    "run",
    "to_request",
]
