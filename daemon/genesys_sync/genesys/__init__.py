"""The published platform API."""
