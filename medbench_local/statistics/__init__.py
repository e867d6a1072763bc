"""Bootstrap, verdict, equivalence, power, multiplicity: pure functions on arrays, no input or output."""
