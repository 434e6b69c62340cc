"""Publishing: parts are written, recounted, moved into place and verified."""
