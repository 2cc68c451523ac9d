"""The command line, one file a command group. Names, exit codes and JSON are an interface."""

from guard.cli.main import main

__all__ = ["main"]
