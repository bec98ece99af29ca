"""What steers a run besides its gates: controls, when to stop, alarms, time and energy."""
