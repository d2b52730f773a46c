import sys
from pathlib import Path

# Builders that several test modules of this folder share.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
