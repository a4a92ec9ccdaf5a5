"""python -m annotated: the command line."""

import sys

from annotated.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
