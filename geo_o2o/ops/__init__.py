"""Running the service: health, metrics, logs, the API page, the private cluster, the worker and the demonstration."""
