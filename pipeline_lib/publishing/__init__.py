"""Publishing: parts are written, counted again, moved into place and verified."""
