"""One magnet: sources, dial, race, verified info dictionary."""
