"""``python -m bayesrepair``: the command line."""

from bayesrepair.cli import main

if __name__ == "__main__":
    main()
