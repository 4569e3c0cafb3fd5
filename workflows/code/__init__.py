"""The code behind a stage: what it reaches, hashed so that comments and layout do not count."""
