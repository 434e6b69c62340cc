"""Discovery: which files of a path, folder, glob or list are shards, and which must not be read."""
