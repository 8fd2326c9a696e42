"""Finding the passes that reach a goal: many candidates, each made and measured."""
