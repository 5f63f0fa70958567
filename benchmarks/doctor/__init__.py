"""The fault bench: injected faults and healthy twins that look odd, labels that the doctor does not see, one table."""
