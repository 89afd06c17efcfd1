"""``python -m study.report NAME``."""

import sys

from study.report import main

if __name__ == "__main__":
    sys.exit(main())
