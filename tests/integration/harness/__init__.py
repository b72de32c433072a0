"""Real programs for the integration tests: started on ephemeral loopback ports, always killed."""
