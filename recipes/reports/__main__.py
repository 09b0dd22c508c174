"""`python -m recipes.reports RUN_FOLDER` writes its report.html anew."""

import sys

from recipes.reports.run_report import main

sys.exit(main())
