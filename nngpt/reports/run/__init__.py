"""The report of `nngpt cycle report`: page, figures, tables."""
