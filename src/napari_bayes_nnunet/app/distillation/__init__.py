"""Distillation of an ensemble into one network, the student."""
