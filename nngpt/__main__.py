"""`python -m nngpt` is `nngpt`."""

from nngpt.cli.main import main

if __name__ == "__main__":
    main()
