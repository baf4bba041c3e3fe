"""Training: request, preflight checks, the process and its progress."""
