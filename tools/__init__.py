"""The commands of a checkout, at the places where PySlowFast's users look for them."""
