"""Evaluation against reference labels: measures, tables, figures and the report."""
