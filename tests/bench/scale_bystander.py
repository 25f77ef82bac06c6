"""A process that only sleeps and wakes on the targets' core: when it stands still too, the machine did it.

It writes a line `ENDED SECONDS` (monotonic) whenever it woke at least 5 ms late, until it is stopped.
"""

import sys
import time

STEP_S = 0.002
LATE_S = 0.005


def main() -> None:
    """Sleep and wake."""
    last = time.monotonic()
    while True:
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - last >= LATE_S:
            sys.stdout.write(f"{now} {now - last}\n")
            sys.stdout.flush()
        last = now


if __name__ == "__main__":
    main()
