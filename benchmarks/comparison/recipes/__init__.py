"""How each engine is used; a recipe runs in a process, and maybe an environment, of its own."""
