"""Arms × seeds: the same run with and without a part, told apart from chance."""
