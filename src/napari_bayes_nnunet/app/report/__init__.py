"""Building blocks shared by all HTML reports."""
