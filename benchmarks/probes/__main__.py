"""See ``benchmarks.probes.command``, which the processes of ``--jobs`` load this file without."""

import sys

if __name__ == "__main__":
    from benchmarks.probes.command import main

    sys.exit(main())
