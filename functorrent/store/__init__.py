"""Results that outlive the process: .torrent files (and, in the daemon, the store of jobs)."""
