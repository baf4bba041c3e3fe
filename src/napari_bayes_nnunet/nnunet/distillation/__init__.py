"""Student: one network that learns the probabilities and the disagreement of an ensemble."""
