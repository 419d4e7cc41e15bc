"""Where the archive lies."""
