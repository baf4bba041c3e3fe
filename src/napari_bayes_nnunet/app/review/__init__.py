"""A review session: edits, numbers, reports and exports of one study."""
