"""The paper as pure functions on arrays: schedule, posterior, metrics, calibration, volumes."""
