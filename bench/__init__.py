"""Benchmarks against real programs on loopback; how and what they found: docs/performance.md.

`python -m bench.fetch` races clients, `python -m bench.floor` shows the ceiling,
`python -m bench.profile` where functorrent's time goes,
`python -m bench.store` what the daemon's store takes.
"""
