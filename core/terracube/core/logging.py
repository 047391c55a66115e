"""Logging, set up once at the door: for people on a terminal, or one JSON object per line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO

_ROOT = "terracube"
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object: time (UTC), level, logger, message, and whatever ``extra`` gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _PLAIN and key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def get_logger(name: str) -> logging.Logger:
    """Give the logger of a module; pass ``__name__``."""
    return logging.getLogger(name)


def set_up(*, verbose: int = 0, as_json: bool = False, stream: IO[str] | None = None) -> None:
    """Attach one handler to TerraCube's loggers, replacing an earlier one.

    Parameters
    ----------
    verbose : int
        0 = warnings, 1 = information, 2 = everything.
    as_json : bool
        One JSON object per line instead of text.
    stream
        Where to; standard error unless given, so that standard output stays clean for results.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(_ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][max(0, min(verbose, 2))])
    logger.propagate = False
