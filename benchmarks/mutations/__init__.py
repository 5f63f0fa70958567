"""Sound loops, a few of each kind, in which one thing at a time is made wrong: the mistakes that the field makes most.

Rules of the doctor are tuned on these; what they are worth on loops of strangers, :mod:`benchmarks.public` measures.
"""
