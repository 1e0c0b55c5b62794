"""`python -m cloison`."""

from cloison.cli import main

if __name__ == "__main__":
    main()
