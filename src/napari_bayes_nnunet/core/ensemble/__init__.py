"""The method: restart schedule, running posterior and stopping rule."""
