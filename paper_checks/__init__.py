"""Every statement of the theory as a check that measures it and says a verdict; see README.md in this folder."""
