"""See `benchmarks.memory.command`."""

import sys

from benchmarks.memory.command import main

if __name__ == "__main__":
    sys.exit(main())
