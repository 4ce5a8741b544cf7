"""Small helpers that know no model, data set or option."""
