"""See `benchmarks.preparation.command`."""

import sys

from benchmarks.preparation.command import main

if __name__ == "__main__":
    sys.exit(main())
