"""Where things came from and what they became: artifacts, documents, runs."""
