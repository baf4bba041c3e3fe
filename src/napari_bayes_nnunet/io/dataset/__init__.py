"""nnU-Net raw datasets: reading, checking, writing."""
