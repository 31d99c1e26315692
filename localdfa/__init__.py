"""localdfa: networks that learn by a local form of direct feedback alignment."""

__version__ = "0.1.0"
