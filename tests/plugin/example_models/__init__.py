"""Models that localdfa finds by their entry points."""
