"""Hyperbolic nesting (WuBu): Poincaré balls inside each other, with rotations between them. Built on geoopt."""
