"""The tools of the paper and of its figures. Only `cli/paper.py` imports them."""
