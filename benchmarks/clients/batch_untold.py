"""`patchwire batch` with a journal that keeps nothing: what is left of a run without journal and outcomes.

Takes the arguments of the command. For measuring alone: such a run could not be resumed.
"""

from patchwire.cli.main import main
from patchwire.run.journal import Journal

Journal.commit = lambda *_: None  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
