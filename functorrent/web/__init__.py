"""HTTP: the daemon's API, its events and its doors. Only the daemon imports this (klein comes with it)."""
