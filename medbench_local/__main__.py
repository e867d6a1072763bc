"""``python -m medbench_local`` is the command line."""

from medbench_local.cli.main import main

if __name__ == "__main__":
    main()
