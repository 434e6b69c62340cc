"""The pages that people look at in the morning: of one night, and of all nights. HTML without scripts."""
