"""The path of a training through weight space (Fig. 2 of the paper)."""
