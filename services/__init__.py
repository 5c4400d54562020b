"""chatmesh: seven services that answer together. One version for code, images and chart."""

__version__ = "0.2.0"
