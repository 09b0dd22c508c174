"""`python -m benchmarks.stock_parity`: see `benchmarks.stock_parity.command`."""

import sys

from benchmarks.stock_parity.command import main

sys.exit(main())
