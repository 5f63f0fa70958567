"""Public logs of real trainings: are they read, is what went wrong in them named, are healthy ones left in peace?"""
