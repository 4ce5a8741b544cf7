"""Train and test what a config says: run_net.py --cfg FILE [--opts KEY VALUE ...]."""

from slowfast.config.cli import console_main

if __name__ == "__main__":
    console_main()
