"""A Ray Train worker: receives trials, trains them, reports to the driver."""
