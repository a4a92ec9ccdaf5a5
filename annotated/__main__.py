"""python -m annotated: the command line."""

from annotated.cli.main import program

if __name__ == "__main__":
    program()
