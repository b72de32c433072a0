"""Where peers come from; each source an IPeerSource."""
