"""The daemon: a fetcher that runs on, and the ways work comes to it (magnets given, a watch folder)."""
