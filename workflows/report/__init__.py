"""What a filter did, as one page: funnel, statistics with their limits, documents at them."""
