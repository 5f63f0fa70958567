"""The fault benchmark: injected faults and healthy runs that look odd, with labels that the doctor does not see."""
