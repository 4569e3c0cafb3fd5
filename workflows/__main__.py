"""`python -m workflows` is `llada`."""

from workflows.cli import main

if __name__ == "__main__":
    main()
