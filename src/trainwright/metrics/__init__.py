"""How good samples are beside real data: features of a packaged network, and distances in them."""
