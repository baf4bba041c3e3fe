"""The dock Evaluate."""
