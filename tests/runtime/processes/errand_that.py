"""An errand for tests: does what the line on its standard input says."""

import os
import signal
import sys
import time


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    does = sys.stdin.readline().strip()
    say(f"begun {os.getpid()}")
    if does == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif does == "sleeps":
        time.sleep(60)
    elif does == "says a line without an end":
        say("x" * (3 << 20))
        time.sleep(60)
    elif does == "waits for its parent's end":
        sys.stdin.read()
    say("done")
    sys.exit(3)


if __name__ == "__main__":
    main()
