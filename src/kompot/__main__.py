"""`python -m kompot`: the demonstration."""

from kompot.demo import main

if __name__ == "__main__":
    main()
