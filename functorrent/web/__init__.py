"""What the daemon shows over HTTP: the API, the page, the metrics."""
