"""`python -m uniaudio` is the command line."""

import sys

from uniaudio.cli import main

if __name__ == "__main__":
    sys.exit(main())
