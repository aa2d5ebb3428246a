"""`compress bench`: from the events of a plan that ran on a device to tables, drawings and a report."""
