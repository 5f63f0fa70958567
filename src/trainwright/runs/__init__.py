"""Run folders of plain files, their events and tables, and an index of run folders."""
