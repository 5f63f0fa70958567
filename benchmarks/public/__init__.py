"""Training loops rebuilt from public reports of faults, each with its repaired twin, judged by a watch of two lines.

``loops/`` holds one file a report, ``materials.py`` the data and small networks that they share, ``run.py`` trains them and
writes down the verdicts, ``table.py`` makes the table. ``split.json`` says which sources are for tuning and which are frozen:
thresholds and rules may be set on the former only.

``checked.txt`` names the loops whose fault and twin have been seen to train as reported, at this or a greater length.
``python -m benchmarks.public.trial NAME`` shows the others, which must be done before either half is scored.
"""
