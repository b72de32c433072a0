"""What the `functorrent` command does: a module for each of its subcommands, and their parts.

`functorrent.cli` is the door; nothing here is imported before its subcommand is asked for.
"""
