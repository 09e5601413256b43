"""`python -m poetgen` is `poetgen`."""

from poetgen.cli.main import main

if __name__ == "__main__":
    main()
