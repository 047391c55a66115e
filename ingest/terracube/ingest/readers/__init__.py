"""Readers: one module per product family, each with `find` and `read`."""
