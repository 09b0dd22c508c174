"""See `benchmarks.long_recordings.accuracy`."""

import sys

from benchmarks.long_recordings.accuracy import main

if __name__ == "__main__":
    sys.exit(main())
