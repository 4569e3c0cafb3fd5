"""Where it runs: cluster profiles and deployments; knows clusters, nothing of the rest."""
