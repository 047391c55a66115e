"""Readers of the forms of delivery, one module each: ``recognise(path)`` and ``read(path, mapping)``."""
