"""`python -m fcnlib`: the command line, also where the script `fcnlib` is not on the path."""

from fcntools.cli.main import main

if __name__ == "__main__":
    main()
