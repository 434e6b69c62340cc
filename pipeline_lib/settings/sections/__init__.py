"""The sections of a settings file: names of settings, allowed values and defaults."""
