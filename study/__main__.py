"""`python -m study`: the same commands as the console script `study`."""

from study.run import main

main()
