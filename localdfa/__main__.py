"""``python -m localdfa``."""

from localdfa.cli import main

main(prog_name="localdfa")
