"""The commands of the package beside `run`: what a person looks at, and what a person asks of a relay."""
