"""The doctor as a callback of other people's trainers; each module needs that trainer installed."""
