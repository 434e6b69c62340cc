"""The pages that people look at in the morning: of one night, and of all nights of an output. HTML without scripts."""
