"""Sound loops, one of each kind, in which one thing at a time is made wrong: the mistakes that the field makes most."""
