"""What each section of a page shows, from the facts of a night: the templates print it."""
