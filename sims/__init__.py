"""Experiments that come with localdfa, one TOML file each."""
