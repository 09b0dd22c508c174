"""See ``benchmarks.reliability.command``; the processes that it starts load this file without running it."""

import sys

if __name__ == "__main__":
    from benchmarks.reliability.command import main

    sys.exit(main())
