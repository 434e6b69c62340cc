"""Planning: everything that is decided before work starts, and which earlier work a run can use."""
