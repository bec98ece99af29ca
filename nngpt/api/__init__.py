"""The functions and classes of `import nngpt`."""
