"""Pictures of the labels of a dataset."""
