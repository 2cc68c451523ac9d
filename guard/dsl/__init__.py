"""The rule language: YAML to a positioned tree, to checked expressions, to one compiled function."""
