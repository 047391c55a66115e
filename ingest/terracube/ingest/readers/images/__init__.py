"""Orthoimages, DIMAP products and elevation models."""
