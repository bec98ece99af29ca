"""Final accuracy of a network, and when to stop training it, before it is trained."""
