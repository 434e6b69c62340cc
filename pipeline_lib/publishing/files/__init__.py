"""The files that readers find: which slices are in which file, and how they are joined."""
