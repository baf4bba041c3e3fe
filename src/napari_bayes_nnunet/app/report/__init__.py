"""Parts shared by all HTML reports."""
