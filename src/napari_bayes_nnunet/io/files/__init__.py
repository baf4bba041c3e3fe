"""Atomic writing, checksums and case names."""
