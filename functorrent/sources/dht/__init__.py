"""The DHT as a peer source, and our node in it (BEP 5, 32, 42, 43)."""
