"""Stand-in speech providers: one that answers at once, one that takes jobs and calls back. They share no address with the platform."""
