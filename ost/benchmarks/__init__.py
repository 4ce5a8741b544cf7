"""What ``ost benchmark`` measures, one module a subject."""
