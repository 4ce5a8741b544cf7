"""``ost protocol``, from a checkout."""

from ost.cli import run_tool

if __name__ == "__main__":
    run_tool("protocol")
