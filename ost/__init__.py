"""The tools: one module a subcommand of ``ost``, each a short file over the package."""
