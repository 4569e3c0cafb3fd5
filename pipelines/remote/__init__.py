"""Source files that lie on servers: addresses, listings, reading by ranges, local copies."""
