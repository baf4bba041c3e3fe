"""Studies with references: the review queue, a simulated reader and the end of a review."""
