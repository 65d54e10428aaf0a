"""``python -m tenzarr.cli`` is ``tenzarr``."""

from __future__ import annotations

import sys

from tenzarr.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
