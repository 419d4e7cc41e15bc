"""What is said in the calls, and everything the platform makes of it: transcripts, live results, settings."""
