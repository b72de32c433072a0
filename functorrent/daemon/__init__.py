"""The daemon: a queue that outlives the process, the ways in and out of it, and what is told of it."""
