"""The search: a folder of images in, a trained network out."""
