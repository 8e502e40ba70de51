"""python -m patchwire"""

from patchwire.cli.main import main

main()
