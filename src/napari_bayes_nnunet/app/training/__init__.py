"""Training: request, preflight, process and progress."""
