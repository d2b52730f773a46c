import sys
from pathlib import Path

# Builders that several test modules of this folder share.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
