"""Quality of samples compared with real data: features of a packaged network, and distances in them."""
