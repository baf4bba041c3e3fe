"""Mouse, keys and waiting in real windows, and the readers who use them."""
