"""HPO engines: one file each, with `Options` and `create(options, context) -> HPOEngine`."""
