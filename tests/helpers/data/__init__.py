"""Made images, studies, models and reports that tests use."""
