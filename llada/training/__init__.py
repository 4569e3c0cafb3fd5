"""Training a mask predictor: token shards in, published weights out, exact under kills."""
